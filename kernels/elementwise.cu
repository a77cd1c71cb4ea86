// Element-wise updates, copies of columns and conversion to halves.
//
// Shapes: any n; matrices are row-major. y and x do not overlap. Nothing accumulates but what is named so.
// Cost in bytes an element: multiply, add and average 12, scale and copies 8, to_half 6.
#include <cuda_fp16.h>

#include "launch.hpp"
#include "pack.cuh"

namespace rondo::kernels {
namespace {

struct Product {
  __device__ float operator()(float y, float x) const { return y * x; }
};
struct Sum {
  __device__ float operator()(float y, float x) const { return y + x; }
};
struct Average {
  float decay, rest;
  __device__ float operator()(float y, float x) const { return __fmaf_rn(decay, y, rest * x); }
};

// y = f(y, x)
template <int W, class F>
__global__ void update_kernel(float* y, const float* x, std::int64_t packs, F f) {
  const std::int64_t i = thread_number();
  if (i >= packs) return;
  Pack<float, W> a = load<W>(y, i);
  const Pack<float, W> b = load<W>(x, i);
  for (int j = 0; j < W; ++j) a.at[j] = f(a.at[j], b.at[j]);
  store(y, i, a);
}

template <class F>
void update(float* y, const float* x, std::int64_t n, F f, cudaStream_t stream) {
  if (n == 0) return;
  if (in_packs(n, y, x))
    update_kernel<4><<<blocks_of(n / 4), kThreads, 0, stream>>>(y, x, n / 4, f);
  else
    update_kernel<1><<<blocks_of(n), kThreads, 0, stream>>>(y, x, n, f);
}

template <int W>
__global__ void scale_kernel(float* y, std::int64_t packs, float factor) {
  const std::int64_t i = thread_number();
  if (i >= packs) return;
  Pack<float, W> a = load<W>(y, i);
  for (int j = 0; j < W; ++j) a.at[j] *= factor;
  store(y, i, a);
}

// One thread a pack of `narrow`; widths and `at` in packs.
template <int W>
__global__ void columns_kernel(float* wide, std::int64_t wide_cols, std::int64_t at, float* narrow,
                               std::int64_t cols, std::int64_t packs, bool gather) {
  const std::int64_t i = thread_number();
  if (i >= packs) return;
  const std::int64_t there = i / cols * wide_cols + at + i % cols;
  if (gather)
    store(narrow, i, load<W>(wide, there));
  else
    store(wide, there, load<W>(narrow, i));
}

// Nearest even; a NaN stays one and becomes quiet.
__device__ std::uint16_t bfloat16_of(float x) {
  const std::uint32_t b = __float_as_uint(x);
  const std::uint32_t rounded = (b + 0x7fffu + ((b >> 16) & 1u)) >> 16;
  const std::uint32_t quiet = (b >> 16) | 0x40u;
  return static_cast<std::uint16_t>((b & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
}

// Nearest even; beyond 65504 infinite.
__device__ std::uint16_t float16_of(float x) { return __half_as_ushort(__float2half_rn(x)); }

template <int W, Precision kTo>
__global__ void half_kernel(std::uint16_t* to, const float* from, std::int64_t packs) {
  const std::int64_t i = thread_number();
  if (i >= packs) return;
  const Pack<float, W> x = load<W>(from, i);
  Pack<std::uint16_t, W> half;
  for (int j = 0; j < W; ++j)
    half.at[j] = kTo == Precision::bfloat16 ? bfloat16_of(x.at[j]) : float16_of(x.at[j]);
  store(to, i, half);
}

}  // namespace

void multiply(float* y, const float* x, std::int64_t n, cudaStream_t stream) {
  update(y, x, n, Product{}, stream);
}
void add(float* y, const float* x, std::int64_t n, cudaStream_t stream) { update(y, x, n, Sum{}, stream); }

void average(float* mean, const float* x, std::int64_t n, float decay, cudaStream_t stream) {
  update(mean, x, n, Average{decay, 1.0f - decay}, stream);
}

void scale(float* y, std::int64_t n, float factor, cudaStream_t stream) {
  if (n == 0) return;
  if (in_packs(n, y))
    scale_kernel<4><<<blocks_of(n / 4), kThreads, 0, stream>>>(y, n / 4, factor);
  else
    scale_kernel<1><<<blocks_of(n), kThreads, 0, stream>>>(y, n, factor);
}

void copy_columns(float* wide, std::int64_t wide_cols, std::int64_t at, float* narrow, std::int64_t rows,
                  std::int64_t cols, bool gather, cudaStream_t stream) {
  const std::int64_t n = rows * cols;
  if (n == 0) return;
  if (wide_cols % 4 == 0 && at % 4 == 0 && in_packs(cols, wide, narrow))
    columns_kernel<4><<<blocks_of(n / 4), kThreads, 0, stream>>>(wide, wide_cols / 4, at / 4, narrow,
                                                                 cols / 4, n / 4, gather);
  else
    columns_kernel<1><<<blocks_of(n), kThreads, 0, stream>>>(wide, wide_cols, at, narrow, cols, n, gather);
}

template <Precision kTo>
static void convert(std::uint16_t* to, const float* from, std::int64_t n, cudaStream_t stream) {
  if (n == 0) return;
  if (in_packs(n, to, from))
    half_kernel<4, kTo><<<blocks_of(n / 4), kThreads, 0, stream>>>(to, from, n / 4);
  else
    half_kernel<1, kTo><<<blocks_of(n), kThreads, 0, stream>>>(to, from, n);
}

void to_half(std::uint16_t* to, const float* from, std::int64_t n, Precision half, cudaStream_t stream) {
  if (half == Precision::bfloat16)
    convert<Precision::bfloat16>(to, from, n, stream);
  else
    convert<Precision::float16>(to, from, n, stream);
}

}  // namespace rondo::kernels
