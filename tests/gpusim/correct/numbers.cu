// Formats and functions: Philox, bfloat16 and half, double, the maths library, integer corners, constants.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstring>

#include "harness.cuh"

static __host__ __device__ inline unsigned high(unsigned a, unsigned b) {
  return static_cast<unsigned>(static_cast<unsigned long long>(a) * b >> 32);
}
static __host__ __device__ inline uint4 philox(uint4 c, unsigned k0, unsigned k1) {
  for (int r = 0; r < 10; ++r) {
    c = uint4{high(0xCD9E8D57u, c.z) ^ c.y ^ k0, 0xCD9E8D57u * c.z, high(0xD2511F53u, c.x) ^ c.w ^ k1,
              0xD2511F53u * c.x};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}
static __global__ void draw(uint4* out, unsigned k0, unsigned k1) {
  unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  out[i] = philox(uint4{i, 1, 2, 3}, k0, k1);
}
GPU_CASE(philox_4x32_10) {
  Array<uint4> out(128);
  draw<<<2, 64>>>(out, 0xa4093822u, 0x299f31d0u);
  out.down();
  for (unsigned i = 0; i < 128; ++i) {
    uint4 want = philox(uint4{i, 1, 2, 3}, 0xa4093822u, 0x299f31d0u);
    check(std::memcmp(&want, &out.host[i], sizeof want) == 0, "word", out.host[i].x, want.x);
  }
}

static __global__ void round_halves(__nv_bfloat16* b, __half* h, float* back, const float* x, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  b[i] = __float2bfloat16(x[i]);
  h[i] = __float2half(x[i]);
  back[i] = __bfloat162float(b[i]) + __half2float(h[i]);
}
GPU_CASE(bfloat16_and_half) {
  std::vector<float> values = noise(500, 20, -70000, 70000);
  for (float& v : noise(500, 21, -1e-4f, 1e-4f)) values.push_back(v);
  for (float v :
       {0.f, -0.f, 1.f, 65504.f, 65520.f, 1.00390625f, 1.01171875f, 5.96e-8f, 2.98e-8f, 6.1e-5f, INFINITY})
    values.push_back(v);
  int n = static_cast<int>(values.size());
  Array<float> x(values), back(n);
  Array<__nv_bfloat16> b(n);
  Array<__half> h(n);
  round_halves<<<blocks(n, 128), 128>>>(b, h, back, x, n);
  b.down();
  h.down();
  back.down();
  for (int i = 0; i < n; ++i) {
    __nv_bfloat16 wb = __float2bfloat16(values[i]);
    __half wh = __float2half(values[i]);
    check(std::memcmp(&wb, &b.host[i], 2) == 0, "bfloat16", __bfloat162float(b.host[i]), values[i]);
    check(std::memcmp(&wh, &h.host[i], 2) == 0, "half", __half2float(h.host[i]), values[i]);
    check(back.host[i] == __bfloat162float(wb) + __half2float(wh), "back", back.host[i]);
  }
}

static __global__ void in_double(double* y, const double* x, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n)
    y[i] = exp(x[i]) / (1 + sqrt(fabs(x[i]))) + log(x[i] * x[i] + 1) * pow(fabs(x[i]), 1.7) -
           sin(x[i]) * floor(x[i]);
}
GPU_CASE(double_maths) {
  int n = 200;
  Array<double> x(n), y(n);
  for (int i = 0; i < n; ++i) x.host[i] = 0.071 * (i - 97);
  x.up();
  in_double<<<2, 100>>>(y, x, n);
  y.down();
  for (int i = 0; i < n; ++i) {
    double v = x.host[i];
    check_near(y.host[i],
               std::exp(v) / (1 + std::sqrt(std::fabs(v))) +
                   std::log(v * v + 1) * std::pow(std::fabs(v), 1.7) - std::sin(v) * std::floor(v),
               1e-12, "y");
  }
}

static __global__ void in_float(float* y, const float* x, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float v = x[i];
  float r[12] = {expf(v),       logf(v),   sinf(v),  cosf(v),   tanhf(v),  erff(v),
                 powf(v, 1.3f), rsqrtf(v), sqrtf(v), log1pf(v), __expf(v), 1 / v};
  for (int k = 0; k < 12; ++k) y[i * 12 + k] = r[k];
}
GPU_CASE(float_maths) {
  int n = 300;
  Array<float> x(n), y(12 * n);
  for (int i = 0; i < n; ++i) x.host[i] = 0.013f * (i + 1) * (i % 5 == 0 ? 1000 : 1);
  x.up();
  in_float<<<3, 100>>>(y, x, n);
  y.down();
  for (int i = 0; i < n; ++i) {
    double v = x.host[i];
    double want[12] = {std::exp(v),  std::log(v),   std::sin(v),       std::cos(v),
                       std::tanh(v), std::erf(v),   std::pow(v, 1.3f), 1 / std::sqrt(v),
                       std::sqrt(v), std::log1p(v), std::exp(v),       1 / v};
    for (int k = 0; k < 12; ++k)
      if (want[k] < 1e38) check_near(y.host[i * 12 + k], want[k], 4e-6, "function");
  }
}

static __global__ void integers(unsigned long long* y, const int* x, const long long* w, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  int a = x[i], b = x[(i + 1) % n] | 1;
  long long p = w[i], q = w[(i + 1) % n] | 1;
  unsigned long long r = a / b + a % b + (a >> 3) + (a << 5) + abs(a) + min(a, b) + max(a, b);
  r += static_cast<unsigned long long>(p / q) + p % q + (p >> 7) + __mul64hi(p, q) + llabs(p);
  r += __popc(a) + __clz(a) + __brev(a) + __ffs(a) + __popcll(p) + __clzll(p) + __byte_perm(a, b, 0x5410) +
       __funnelshift_l(a, b, 7);
  r += static_cast<unsigned char>(a) + static_cast<signed char>(b) +
       static_cast<short>(a) * static_cast<unsigned short>(b) + __usad(a, b, 3);
  r ^= static_cast<unsigned>(a) / static_cast<unsigned>(b) +
       (static_cast<unsigned long long>(p) % static_cast<unsigned long long>(q));
  y[i] = r + __float2int_rn(a * 0.37f) + __float2uint_rz(fabsf(a * 0.11f)) + static_cast<long long>(p * 0.5) +
         __double2ll_rn(q * 0.25);
}
static unsigned long long integers_on_host(int a, int b, long long p, long long q) {
  b |= 1, q |= 1;
  auto ua = static_cast<unsigned>(a), ub = static_cast<unsigned>(b);
  unsigned brev = 0;
  for (int k = 0; k < 32; ++k) brev |= (ua >> k & 1) << (31 - k);
  int r32 =
      a / b + a % b + (a >> 3) + static_cast<int>(ua << 5) + std::abs(a) + std::min(a, b) + std::max(a, b);
  unsigned long long r = r32;
  r += static_cast<unsigned long long>(p / q) + p % q + (p >> 7) +
       static_cast<long long>(static_cast<__int128>(p) * q >> 64) + std::llabs(p);
  unsigned perm = (ua & 0xffff) | ub << 16;
  unsigned funnel = static_cast<unsigned>((static_cast<unsigned long long>(ub) << 32 | ua) << 7 >> 32);
  r += __builtin_popcount(ua) + (a ? __builtin_clz(ua) : 32) + brev + __builtin_ffs(a) +
       __builtin_popcountll(p) + (p ? __builtin_clzll(p) : 64) + perm + funnel;
  r += static_cast<unsigned char>(a) + static_cast<signed char>(b) +
       static_cast<short>(a) * static_cast<unsigned short>(b) + ((ua > ub ? ua - ub : ub - ua) + 3);
  r ^= ua / ub + (static_cast<unsigned long long>(p) % static_cast<unsigned long long>(q));
  return r + static_cast<int>(std::nearbyint(a * 0.37f)) + static_cast<unsigned>(std::fabs(a * 0.11f)) +
         static_cast<long long>(p * 0.5) + std::llrint(q * 0.25);
}
GPU_CASE(integer_corners) {
  int n = 257;
  Array<int> x(n);
  Array<long long> w(n);
  Array<unsigned long long> y(n);
  std::mt19937_64 random(9);
  for (int i = 0; i < n; ++i)
    x.host[i] = static_cast<int>(random()) >> (i % 24 + 3),
    w.host[i] = static_cast<long long>(random()) >> (i % 50 + 3);
  x.host[0] = 0, w.host[0] = 0;
  x.up();
  w.up();
  integers<<<3, 96>>>(y, x, w, n);
  y.down();
  for (int i = 0; i < n; ++i) {
    unsigned long long want =
        integers_on_host(x.host[i], x.host[(i + 1) % n], w.host[i], w.host[(i + 1) % n]);
    check(y.host[i] == want, "y", static_cast<double>(y.host[i]), static_cast<double>(want));
  }
}

static __constant__ float weights[8];
static __device__ int touched[4] = {1, 2, 3, 4};
static __global__ void constants(float* y, int n) {
  int i = threadIdx.x;
  y[i] = weights[i % n] + touched[i % 4];
}
GPU_CASE(constant_memory_and_device_variables) {
  std::vector<float> w = noise(8, 30);
  check_cuda(cudaMemcpyToSymbol(weights, w.data(), 32), "to symbol");
  int five = 5;
  check_cuda(cudaMemcpyToSymbol(touched, &five, 4, 4), "to symbol");
  Array<float> y(64);
  constants<<<1, 64>>>(y, 8);
  y.down();
  const int want[] = {1, 5, 3, 4};
  for (int i = 0; i < 64; ++i) check(y.host[i] == w[i % 8] + want[i % 4], "y", y.host[i]);
}

static __global__ void local_array(int* y, int n) {
  int a[17], i = threadIdx.x;
  for (int k = 0; k < 17; ++k) a[k] = k * i;
  for (int k = 0; k < n; ++k) a[(k * 5 + i) % 17] += a[(k * 3) % 17];
  int s = 0;
  for (int k = 0; k < 17; ++k) s += a[k] * k;
  y[i] = s;
}
GPU_CASE(indexed_local_memory) {
  Array<int> y(32);
  local_array<<<1, 32>>>(y, 9);
  y.down();
  for (int i = 0; i < 32; ++i) {
    int a[17], s = 0;
    for (int k = 0; k < 17; ++k) a[k] = k * i;
    for (int k = 0; k < 9; ++k) a[(k * 5 + i) % 17] += a[(k * 3) % 17];
    for (int k = 0; k < 17; ++k) s += a[k] * k;
    check(y.host[i] == s, "y", y.host[i], s);
  }
}
