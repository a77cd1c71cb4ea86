// A bitonic sort (Batcher, "Sorting networks and their applications", 1968) of distinct 64-bit keys: no
// atomics, no scratch, the same steps for all inputs of a size. About log2(n)^2 / 2 passes over the keys, of
// which those within kSortTile keys run in shared memory.
#pragma once

#include <cstdint>

#include "pack.cuh"

namespace rondo::kernels {

constexpr int kSortTile = 1024;

/// The number of keys that `sort_keys` works on: fill up with ~0.
inline std::int64_t sort_size(std::int64_t n) {
  std::int64_t size = kSortTile;
  while (size < n) size *= 2;
  return size;
}

// Orders keys i and i + stride. Runs of `size` keys ascend and descend in turn.
__device__ inline void compare(std::uint64_t& low, std::uint64_t& high, bool ascending) {
  if ((low > high) != ascending) return;
  const std::uint64_t kept = low;
  low = high;
  high = kept;
}

// One step between keys further apart than a tile; one thread a pair.
static __global__ void sort_step_kernel(std::uint64_t* keys, std::int64_t size, std::int64_t stride) {
  const std::int64_t t = thread_number(), i = 2 * t - (t & (stride - 1));
  compare(keys[i], keys[i + stride], (i & size) == 0);
}

// All steps within a tile, from runs of `from` keys to runs of `to`; kSortTile / 2 threads a tile.
static __global__ void sort_tile_kernel(std::uint64_t* keys, std::int64_t from, std::int64_t to) {
  __shared__ std::uint64_t tile[kSortTile];
  const std::int64_t base = static_cast<std::int64_t>(blockIdx.x) * kSortTile;
  const int t = static_cast<int>(threadIdx.x);
  tile[t] = keys[base + t];
  tile[t + kSortTile / 2] = keys[base + t + kSortTile / 2];
  for (std::int64_t size = from; size <= to; size *= 2)
    for (int stride = size < kSortTile ? static_cast<int>(size) / 2 : kSortTile / 2; stride > 0;
         stride /= 2) {
      __syncthreads();
      const int i = 2 * t - (t & (stride - 1));
      compare(tile[i], tile[i + stride], ((base + i) & size) == 0);
    }
  __syncthreads();
  keys[base + t] = tile[t];
  keys[base + t + kSortTile / 2] = tile[t + kSortTile / 2];
}

/// Sorts sort_size(n) keys in place.
inline void sort_keys(std::uint64_t* keys, std::int64_t n, cudaStream_t stream) {
  const std::int64_t all = sort_size(n);
  const unsigned tiles = static_cast<unsigned>(all / kSortTile);
  sort_tile_kernel<<<tiles, kSortTile / 2, 0, stream>>>(keys, 2, kSortTile);
  for (std::int64_t size = 2 * kSortTile; size <= all; size *= 2) {
    for (std::int64_t stride = size / 2; stride >= kSortTile; stride /= 2)
      sort_step_kernel<<<blocks_of(all / 2), kThreads, 0, stream>>>(keys, size, stride);
    sort_tile_kernel<<<tiles, kSortTile / 2, 0, stream>>>(keys, size, size);
  }
}

}  // namespace rondo::kernels
