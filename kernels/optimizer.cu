// AdamW and SGD, one pass over the arenas.
//
// Shapes: w, m, v and the gradient are arenas of blocks * kBlock values (arena.cuh), block_scale and
// block_decay one number a block. The gradient is float `values` or, where that is not null, `fixed` point,
// times its block's scale. w, m and v are updated in place. Formulas and order of operations are the CPU's.
// Cost in bytes a value: AdamW 28, SGD 20.
#include "arena.cuh"
#include "launch.hpp"

namespace rondo::kernels {
namespace {

template <class T>
__global__ void adamw_kernel(float* w, float* m, float* v, const T* gradient, const float* block_scale,
                             const float* block_decay, AdamWStep s) {
  const std::int64_t i = arena_pack();
  const float scale = block_scale[blockIdx.x];
  const float keep = 1.0f - s.learning_rate * (s.weight_decay * block_decay[blockIdx.x]);
  const float rest1 = 1.0f - s.beta1, rest2 = 1.0f - s.beta2;
  const float rate = s.learning_rate * s.correction1;
  Pack<float, 4> weight = load<4>(w, i), mean = load<4>(m, i), square = load<4>(v, i);
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
                           const float* block_decay, float rate, float beta, float weight_decay) {
  const std::int64_t i = arena_pack();
  const float scale = block_scale[blockIdx.x], decay = weight_decay * block_decay[blockIdx.x];
  Pack<float, 4> weight = load<4>(w, i), m = load<4>(momentum, i);
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
           cudaStream_t stream) {
  if (blocks == 0) return;
  with_gradient(values, fixed, [&](const auto* gradient) {
    adamw_kernel<<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(w, m, v, gradient, block_scale,
                                                                         block_decay, step);
  });
}

void sgd(float* w, float* momentum, const float* values, const std::uint32_t* fixed, const float* block_scale,
         std::int64_t blocks, const float* block_decay, float rate, float beta, float decay,
         cudaStream_t stream) {
  if (blocks == 0) return;
  with_gradient(values, fixed, [&](const auto* gradient) {
    sgd_kernel<<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(w, momentum, gradient, block_scale,
                                                                       block_decay, rate, beta, decay);
  });
}

}  // namespace rondo::kernels
