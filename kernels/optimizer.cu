// AdamW and SGD, one pass over the arenas.
//
// Shapes: w, m, v and the gradient are arenas of blocks * kBlock values (arena.cuh), block_scale and
// block_decay one number a block. The gradient is float `values` or, where that is not null, `fixed` point,
// times its block's scale. w, m and v are updated in place; `seen`, unless it is null, one number a block,
// takes what they held before (kSeenFactor). Formulas and order of operations are the CPU's. Cost in bytes a
// value: AdamW 28, SGD 20.
#include "arena.cuh"
#include "launch.hpp"
#include "reduce.cuh"

namespace rondo::kernels {
namespace {

constexpr int kWarps = kThreads / 32;

__device__ std::uint32_t bits_of(const Pack<float, 4>& values) {
  std::uint32_t sum = 0;
  for (int j = 0; j < 4; ++j) sum += __float_as_uint(values.at[j]);
  return sum;
}

// `bits`: a thread's part of the block's.
__device__ void note_seen(std::uint32_t* seen, std::uint32_t bits) {
  __shared__ std::uint32_t shared[kWarps];
  const int thread = static_cast<int>(threadIdx.x);
  bits = group_sum<kWarps>(bits, shared, thread);
  if (thread == 0) seen[blockIdx.x] = seen[blockIdx.x] * kSeenFactor + bits;
}

template <class T>
__global__ void adamw_kernel(float* w, float* m, float* v, const T* gradient, const float* block_scale,
                             const float* block_decay, AdamWStep s, std::uint32_t* seen) {
  const std::int64_t i = arena_pack();
  const float scale = block_scale[blockIdx.x];
  const float keep = 1.0f - s.learning_rate * (s.weight_decay * block_decay[blockIdx.x]);
  const float rest1 = 1.0f - s.beta1, rest2 = 1.0f - s.beta2;
  const float rate = s.learning_rate * s.correction1;
  Pack<float, 4> weight = load<4>(w, i), mean = load<4>(m, i), square = load<4>(v, i);
  if (seen != nullptr) note_seen(seen, bits_of(weight) + bits_of(mean) + bits_of(square));
  const Pack<T, 4> source = load<4>(gradient, i);
  for (int j = 0; j < 4; ++j) {
    const float g = scaled(source.at[j], scale);
    mean.at[j] = __fmaf_rn(rest1, g, s.beta1 * mean.at[j]);
    square.at[j] = __fmaf_rn(rest2 * g, g, s.beta2 * square.at[j]);
    const float step = rate * mean.at[j] / (sqrtf(square.at[j] * s.correction2) + s.epsilon);
    weight.at[j] = __fmaf_rn(keep, weight.at[j], -step);
  }
  store(w, i, weight);
  store(m, i, mean);
  store(v, i, square);
}

template <class T>
__global__ void sgd_kernel(float* w, float* momentum, const T* gradient, const float* block_scale,
                           const float* block_decay, float rate, float beta, float weight_decay,
                           std::uint32_t* seen) {
  const std::int64_t i = arena_pack();
  const float scale = block_scale[blockIdx.x], decay = weight_decay * block_decay[blockIdx.x];
  Pack<float, 4> weight = load<4>(w, i), m = load<4>(momentum, i);
  if (seen != nullptr) note_seen(seen, bits_of(weight) + bits_of(m));
  const Pack<T, 4> source = load<4>(gradient, i);
  for (int j = 0; j < 4; ++j) {
    const float g = scaled(source.at[j], scale);
    m.at[j] = __fmaf_rn(beta, m.at[j], __fmaf_rn(decay, weight.at[j], g));
    weight.at[j] = __fmaf_rn(-rate, m.at[j], weight.at[j]);
  }
  store(w, i, weight);
  store(momentum, i, m);
}

}  // namespace

void adamw(float* w, float* m, float* v, const float* values, const std::uint32_t* fixed,
           const float* block_scale, std::int64_t blocks, const float* block_decay, AdamWStep step,
           std::uint32_t* seen, cudaStream_t stream) {
  if (blocks == 0) return;
  with_gradient(values, fixed, [&](const auto* gradient) {
    adamw_kernel<<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(w, m, v, gradient, block_scale,
                                                                         block_decay, step, seen);
  });
}

void sgd(float* w, float* momentum, const float* values, const std::uint32_t* fixed, const float* block_scale,
         std::int64_t blocks, const float* block_decay, float rate, float beta, float decay,
         std::uint32_t* seen, cudaStream_t stream) {
  if (blocks == 0) return;
  with_gradient(values, fixed, [&](const auto* gradient) {
    sgd_kernel<<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(w, momentum, gradient, block_scale,
                                                                       block_decay, rate, beta, decay, seen);
  });
}

}  // namespace rondo::kernels
