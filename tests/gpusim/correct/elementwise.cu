// One thread an element: axpy, float4 copies, divergent control flow, a switch, device functions.
#include "harness.cuh"

static __global__ void axpy(float* y, const float* x, float a, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] += a * x[i];
}
GPU_CASE(axpy_odd_size) {
  int n = 1237;
  Array<float> x(noise(n, 1)), y(noise(n, 2));
  std::vector<float> before = y.host;
  axpy<<<blocks(n, 128), 128>>>(y, x, 0.75f, n);
  y.down();
  for (int i = 0; i < n; ++i)
    check(y.host[i] == std::fma(0.75f, x.host[i], before[i]), "y", y.host[i], before[i]);
}

static __global__ void scale4(float4* y, const float4* __restrict__ x, int n) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
    float4 v = x[i];
    y[i] = make_float4(2 * v.x, 3 * v.y, -v.z, v.w);
  }
}
GPU_CASE(float4_grid_stride) {
  Array<float> x(noise(4 * 999, 3)), y(x.size());
  scale4<<<3, 64>>>(reinterpret_cast<float4*>(y.device), reinterpret_cast<const float4*>(x.device), 999);
  y.down();
  const float factor[] = {2, 3, -1, 1};
  for (size_t i = 0; i < y.size(); ++i)
    check(y.host[i] == factor[i % 4] * x.host[i], "y", y.host[i], x.host[i]);
}

static __device__ __noinline__ float horner(float x, const float* c, int n) {
  float r = 0;
  for (int i = 0; i < n; ++i) r = r * x + c[i];
  return r;
}
static __device__ __noinline__ int collatz(int n, int depth) {
  if (n == 1 || depth == 40) return depth;
  return collatz(n % 2 ? 3 * n + 1 : n / 2, depth + 1);
}
static __global__ void call_functions(float* y, int* steps, const float* c, int n) {
  int i = threadIdx.x;
  y[i] = horner(0.01f * i, c, n);
  steps[i] = collatz(i + 1, 0);
}
GPU_CASE(device_functions_and_recursion) {
  Array<float> c(noise(7, 4)), y(96);
  Array<int> steps(96);
  call_functions<<<1, 96>>>(y, steps, c, 7);
  y.down();
  steps.down();
  for (int i = 0; i < 96; ++i) {
    float r = 0;
    for (float k : c.host) r = std::fma(r, 0.01f * i, k);
    check(r == y.host[i], "polynomial", y.host[i], r);
    int n = i + 1, count = 0;
    for (; n != 1 && count < 40; ++count) n = n % 2 ? 3 * n + 1 : n / 2;
    check(steps.host[i] == count, "steps", steps.host[i], count);
  }
}

static __global__ void diverge(int* y, const int* x, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  int v = x[i];
  switch (v % 9) {
    case 0:
      v += 100;
      break;
    case 1:
      v *= 3;
      break;
    case 2:
      v = ~v;
      break;
    case 3:
      v <<= 4;
      break;
    case 4:
      v >>= 1;
      break;
    case 5:
      v ^= 0x55;
      break;
    case 6:
      while (v > 10) v -= 7;
      break;
    case 7:
      for (int k = 0; k < v % 5; ++k) v += k;
      break;
    default:
      v = -v;
  }
  y[i] = v;
}
GPU_CASE(divergent_switch) {
  int n = 333;
  Array<int> x(n), y(n);
  for (int i = 0; i < n; ++i) x.host[i] = i * 31 % 1000;
  x.up();
  diverge<<<blocks(n, 96), 96>>>(y, x, n);
  y.down();
  for (int i = 0; i < n; ++i) {
    int v = x.host[i];
    switch (v % 9) {
      case 0:
        v += 100;
        break;
      case 1:
        v *= 3;
        break;
      case 2:
        v = ~v;
        break;
      case 3:
        v <<= 4;
        break;
      case 4:
        v >>= 1;
        break;
      case 5:
        v ^= 0x55;
        break;
      case 6:
        while (v > 10) v -= 7;
        break;
      case 7:
        for (int k = 0; k < v % 5; ++k) v += k;
        break;
      default:
        v = -v;
    }
    check(y.host[i] == v, "v", y.host[i], v);
  }
}

struct Shape {
  int rows, cols, strides[4];
  float scale;
};
static __global__ void by_value(float* y, Shape s) {
  int r = blockIdx.y, c = blockIdx.x * blockDim.x + threadIdx.x;
  if (r < s.rows && c < s.cols)
    y[r * s.strides[0] + c * s.strides[1]] = s.scale * (r * 1000 + c) + s.strides[c & 3];
}
GPU_CASE(struct_by_value_and_2d_grid) {
  Shape s{5, 70, {70, 1, 3, 4}, 0.5f};
  Array<float> y(350);
  by_value<<<dim3(2, 5), 64>>>(y, s);
  y.down();
  for (int r = 0; r < 5; ++r)
    for (int c = 0; c < 70; ++c)
      check(y.host[r * 70 + c] == 0.5f * (r * 1000 + c) + s.strides[c & 3], "y", y.host[r * 70 + c]);
}
