// What a causal convolution reads, laid out for a matrix product, and the transpose.
//
// Shapes: x and dx are [batch * time, channels], taps and dtaps [batch * time, taps * channels]. Tap k looks
// (taps - 1 - k) * dilation back; before the beginning there is 0. dx is overwritten; an element adds its
// taps from the earliest reader to the last. Outputs overlap no input. Cost in bytes an element of taps:
// gather 8 or less (x stays in cache), scatter 4 and 4 / taps.
#include "launch.hpp"
#include "pack.cuh"

namespace rondo::kernels {
namespace {

// One thread a pack of taps; channels in packs.
template <int W>
__global__ void gather_kernel(const float* x, TapShape s, float* taps, std::int64_t packs) {
  const std::int64_t i = thread_number();
  if (i >= packs) return;
  // Rows and columns count in 32 bits, whose division is much the faster.
  const auto channels = static_cast<unsigned>(s.channels), width = static_cast<unsigned>(s.taps) * channels;
  const auto row = static_cast<unsigned>(i / width);
  const auto column = static_cast<unsigned>(i - static_cast<std::int64_t>(row) * width);
  const std::int64_t back = (s.taps - 1 - column / channels) * s.dilation;
  Pack<float, W> value = {};
  if (back <= row % static_cast<unsigned>(s.time))
    value = load<W>(x, (row - back) * s.channels + column % channels);
  store(taps, i, value);
}

// One thread a pack of dx: nobody else writes there.
template <int W>
__global__ void scatter_kernel(const float* dtaps, TapShape s, float* dx, std::int64_t packs) {
  const std::int64_t i = thread_number();
  if (i >= packs) return;
  const std::int64_t row = i / s.channels, c = i % s.channels, left = s.time - row % s.time;
  Pack<float, W> sum = {};
  for (std::int64_t k = s.taps - 1; k >= 0; --k) {
    const std::int64_t ahead = (s.taps - 1 - k) * s.dilation;
    if (ahead >= left) break;
    const Pack<float, W> d = load<W>(dtaps, ((row + ahead) * s.taps + k) * s.channels + c);
    for (int j = 0; j < W; ++j) sum.at[j] += d.at[j];
  }
  store(dx, i, sum);
}

TapShape in_packs_of_four(TapShape s) {
  s.channels /= 4;
  return s;
}

}  // namespace

void gather_taps(const float* x, TapShape s, float* taps, cudaStream_t stream) {
  const std::int64_t n = s.batch * s.time * s.taps * s.channels;
  if (n == 0) return;
  if (in_packs(s.channels, x, taps))
    gather_kernel<4><<<blocks_of(n / 4), kThreads, 0, stream>>>(x, in_packs_of_four(s), taps, n / 4);
  else
    gather_kernel<1><<<blocks_of(n), kThreads, 0, stream>>>(x, s, taps, n);
}

void scatter_taps(const float* dtaps, TapShape s, float* dx, cudaStream_t stream) {
  const std::int64_t n = s.batch * s.time * s.channels;
  if (n == 0) return;
  if (in_packs(s.channels, dtaps, dx))
    scatter_kernel<4><<<blocks_of(n / 4), kThreads, 0, stream>>>(dtaps, in_packs_of_four(s), dx, n / 4);
  else
    scatter_kernel<1><<<blocks_of(n), kThreads, 0, stream>>>(dtaps, s, dx, n);
}

}  // namespace rondo::kernels
