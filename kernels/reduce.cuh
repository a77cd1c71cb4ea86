// Sums and maxima over the threads of a block, in one fixed order: five exchanges within a warp (all 32 lanes
// end with the same bits, as a + b = b + a), then warps from first to last.
#pragma once

#include <cstdint>

namespace rondo::kernels {

constexpr unsigned kAllLanes = 0xffffffffu;

template <class T>
__device__ T warp_sum(T x) {
  for (int lane = 16; lane > 0; lane /= 2) x += __shfl_xor_sync(kAllLanes, x, lane);
  return x;
}

/// The sum over `kWarps` warps whose threads are numbered by `thread`; every thread gets it. All threads of
/// the block must come here, unless kWarps is 1: then all of the warp. `shared`: kWarps values.
template <int kWarps, class T>
__device__ T group_sum(T x, T* shared, int thread) {
  x = warp_sum(x);
  if constexpr (kWarps > 1) {
    if (thread % 32 == 0) shared[thread / 32] = x;
    __syncthreads();
    x = 0;
    for (int warp = 0; warp < kWarps; ++warp) x += shared[warp];
    __syncthreads();  // before the next sum overwrites `shared`
  }
  return x;
}

/// The largest of the block's kWarps * 32 numbers; thread 0 gets it.
template <int kWarps>
__device__ std::uint32_t block_max(std::uint32_t x, std::uint32_t* shared, int thread) {
  for (int lane = 16; lane > 0; lane /= 2) x = max(x, __shfl_xor_sync(kAllLanes, x, lane));
  if (thread % 32 == 0) shared[thread / 32] = x;
  __syncthreads();
  if (thread == 0)
    for (int warp = 1; warp < kWarps; ++warp) x = max(x, shared[warp]);
  return x;
}

}  // namespace rondo::kernels
