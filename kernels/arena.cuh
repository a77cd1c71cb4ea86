// Whole arenas: n = blocks * kBlock values, aligned to 16 bytes. A block of kThreads threads takes one block
// of values, each thread four neighbours, so that what holds for a block (scale, decay) is read once.
#pragma once

#include "pack.cuh"
#include "rondo/device/tensor.hpp"

namespace rondo::kernels {

static_assert(kBlock == 4 * kThreads);

/// The pack of four that is this thread's.
__device__ inline std::int64_t arena_pack() { return thread_number(); }

/// A gradient as the optimizer is to see it, from float or from fixed point.
__device__ inline float scaled(float g, float scale) { return g * scale; }
__device__ inline float scaled(std::uint32_t q, float scale) {
  return static_cast<float>(static_cast<std::int32_t>(q)) * scale;
}

/// Calls f(pointer) with whichever of both is there.
template <class F>
void with_gradient(const float* values, const std::uint32_t* fixed, F f) {
  if (fixed != nullptr)
    f(fixed);
  else
    f(values);
}

}  // namespace rondo::kernels
