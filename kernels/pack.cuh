// What element-wise kernels share: neighbours moved by one instruction, and the grid that covers them.
//
// A kernel is written once for packs of W values. Launchers take W = 4 (16 bytes a thread) where every
// pointer is aligned and rows are whole packs, else W = 1: matrices of odd width. An element's bits do not
// depend on W.
#pragma once

#include <cstdint>

namespace rondo::kernels {

constexpr int kThreads = 256;

template <class T, int W>
struct alignas(sizeof(T) * W) Pack {
  T at[W];
};

template <int W, class T>
__device__ Pack<T, W> load(const T* from, std::int64_t pack) {
  return reinterpret_cast<const Pack<T, W>*>(from)[pack];
}
template <int W, class T>
__device__ void store(T* to, std::int64_t pack, Pack<T, W> values) {
  reinterpret_cast<Pack<T, W>*>(to)[pack] = values;
}

/// The number of this thread in a grid of one dimension.
__device__ inline std::int64_t thread_number() {
  return static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

/// May rows of `cols` values at these places be moved in packs of four? A null pointer may.
template <class... T>
bool in_packs(std::int64_t cols, const T*... at) {
  return cols % 4 == 0 && ((reinterpret_cast<std::uintptr_t>(at) % (4 * sizeof(T)) == 0) && ...);
}

/// Blocks of kThreads threads for `threads` > 0 of them.
inline unsigned blocks_of(std::int64_t threads) {
  return static_cast<unsigned>((threads + kThreads - 1) / kThreads);
}

}  // namespace rondo::kernels
