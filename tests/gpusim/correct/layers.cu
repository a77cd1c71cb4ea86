// What a neural network is made of: layer normalisation, softmax, a tiled product.
#include "harness.cuh"

static __device__ float2 block_sum2(float2 v) {
  __shared__ float2 parts[32];
  for (int k = 16; k; k >>= 1) {
    v.x += __shfl_xor_sync(0xffffffffu, v.x, k);
    v.y += __shfl_xor_sync(0xffffffffu, v.y, k);
  }
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = v;
  __syncthreads();
  v = make_float2(0, 0);
  for (unsigned w = 0; w < blockDim.x / 32; ++w) v = make_float2(v.x + parts[w].x, v.y + parts[w].y);
  __syncthreads();
  return v;
}

static __global__ void layer_norm(float* y, float* mean, float* scale, const float* x, const float* gain,
                                  const float* bias, int n) {
  const float* row = x + blockIdx.x * n;
  float2 s = make_float2(0, 0);
  for (int i = threadIdx.x; i < n; i += blockDim.x) s = make_float2(s.x + row[i], s.y + row[i] * row[i]);
  s = block_sum2(s);
  float m = s.x / n, r = rsqrtf(s.y / n - m * m + 1e-5f);
  for (int i = threadIdx.x; i < n; i += blockDim.x)
    y[blockIdx.x * n + i] = (row[i] - m) * r * gain[i] + bias[i];
  if (threadIdx.x == 0) {
    mean[blockIdx.x] = m;
    scale[blockIdx.x] = r;
  }
}
static __global__ void layer_norm_backward(float* dx, float* dgain, float* dbias, const float* dy,
                                           const float* x, const float* mean, const float* scale,
                                           const float* gain, int n) {
  int row = blockIdx.x;
  float m = mean[row], r = scale[row];
  float2 s = make_float2(0, 0);
  for (int i = threadIdx.x; i < n; i += blockDim.x) {
    float h = (x[row * n + i] - m) * r, g = dy[row * n + i] * gain[i];
    s = make_float2(s.x + g, s.y + g * h);
    atomicAdd(&dgain[i], dy[row * n + i] * h);
    atomicAdd(&dbias[i], dy[row * n + i]);
  }
  s = block_sum2(s);
  for (int i = threadIdx.x; i < n; i += blockDim.x) {
    float h = (x[row * n + i] - m) * r;
    dx[row * n + i] = r * (dy[row * n + i] * gain[i] - s.x / n - h * s.y / n);
  }
}
GPU_CASE(layer_norm_forward_and_backward) {
  int rows = 5, n = 77;
  Array<float> x(noise(rows * n, 10)), dy(noise(rows * n, 11)), gain(noise(n, 12)), bias(noise(n, 13));
  Array<float> y(rows * n), dx(rows * n), mean(rows), scale(rows), dgain(std::vector<float>(n, 0.f)),
      dbias(std::vector<float>(n, 0.f));
  layer_norm<<<rows, 64>>>(y, mean, scale, x, gain, bias, n);
  layer_norm_backward<<<rows, 64>>>(dx, dgain, dbias, dy, x, mean, scale, gain, n);
  y.down();
  dx.down();
  dgain.down();
  std::vector<double> want_dgain(n);
  for (int r = 0; r < rows; ++r) {
    double s = 0, q = 0, a = 0, b = 0;
    for (int i = 0; i < n; ++i) s += x.host[r * n + i], q += double(x.host[r * n + i]) * x.host[r * n + i];
    double m = s / n, k = 1 / std::sqrt(q / n - m * m + 1e-5);
    for (int i = 0; i < n; ++i) {
      double h = (x.host[r * n + i] - m) * k, g = dy.host[r * n + i] * gain.host[i];
      a += g, b += g * h;
      want_dgain[i] += dy.host[r * n + i] * h;
      check_near(y.host[r * n + i], h * gain.host[i] + bias.host[i], 1e-5, "y");
    }
    for (int i = 0; i < n; ++i) {
      double h = (x.host[r * n + i] - m) * k;
      check_near(dx.host[r * n + i], k * (dy.host[r * n + i] * gain.host[i] - a / n - h * b / n), 1e-5, "dx");
    }
  }
  for (int i = 0; i < n; ++i) check_near(dgain.host[i], want_dgain[i], 1e-5, "dgain");
}

static __global__ void softmax(float* y, const float* x, int rows, int n) {
  int row = (blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x % 32;
  if (row >= rows) return;  // whole warps leave
  float top = -INFINITY, sum = 0;
  for (int i = lane; i < n; i += 32) top = fmaxf(top, x[row * n + i]);
  for (int k = 16; k; k /= 2) top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, k));
  for (int i = lane; i < n; i += 32) sum += expf(x[row * n + i] - top);
  for (int k = 16; k; k /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, k);
  for (int i = lane; i < n; i += 32) y[row * n + i] = expf(x[row * n + i] - top) / sum;
}
GPU_CASE(softmax_a_warp_a_row) {
  int rows = 7, n = 45;
  Array<float> x(noise(rows * n, 14, -8, 8)), y(rows * n);
  softmax<<<2, 128>>>(y, x, rows, n);
  y.down();
  for (int r = 0; r < rows; ++r) {
    double sum = 0;
    for (int i = 0; i < n; ++i) sum += std::exp(double(x.host[r * n + i]));
    for (int i = 0; i < n; ++i)
      check_near(y.host[r * n + i], std::exp(double(x.host[r * n + i])) / sum, 1e-6, "y");
  }
}

template <int Tile>
static __global__ void product(float* c, const float* a, const float* b, int m, int n, int k) {
  __shared__ float ta[Tile][Tile + 1], tb[Tile][Tile + 1];
  int row = blockIdx.y * Tile + threadIdx.y, col = blockIdx.x * Tile + threadIdx.x;
  float sum = 0;
  for (int at = 0; at < k; at += Tile) {
    ta[threadIdx.y][threadIdx.x] = row < m && at + threadIdx.x < k ? a[row * k + at + threadIdx.x] : 0;
    tb[threadIdx.y][threadIdx.x] = at + threadIdx.y < k && col < n ? b[(at + threadIdx.y) * n + col] : 0;
    __syncthreads();
    for (int i = 0; i < Tile; ++i) sum += ta[threadIdx.y][i] * tb[i][threadIdx.x];
    __syncthreads();
  }
  if (row < m && col < n) c[row * n + col] = sum;
}
GPU_CASE(tiled_product) {
  int m = 19, n = 35, k = 23;
  Array<float> a(noise(m * k, 15)), b(noise(k * n, 16)), c(m * n);
  product<16><<<dim3(3, 2), dim3(16, 16)>>>(c, a, b, m, n, k);
  c.down();
  for (int i = 0; i < m; ++i)
    for (int j = 0; j < n; ++j) {
      float want = 0;
      for (int l = 0; l < k; ++l) want = std::fma(a.host[i * k + l], b.host[l * n + j], want);
      check(c.host[i * n + j] == want, "c", c.host[i * n + j], want);
    }
}
