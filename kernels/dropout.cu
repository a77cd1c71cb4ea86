// Dropout with the CPU's numbers: row r, column c takes word c % 4 of the stream's block
// (first_row + r) * ceil(cols / 4) + c / 4, and is dropped where its upper 24 bits are below p * 2^24.
//
// Shapes: x, y and mask are [rows, cols]; y may be x. One thread a Philox block, that is 4 columns.
// Cost in bytes an element: 12, and about 25 integer instructions.
#include "launch.hpp"
#include "pack.cuh"
#include "philox.cuh"

namespace rondo::kernels {
namespace {

struct Draw {
  std::uint32_t key0, key1, major, minor, threshold;
  float keep;
};

template <int W>
__global__ void dropout_kernel(const float* x, float* y, float* mask, std::int64_t cols, std::int64_t per_row,
                               std::int64_t blocks, std::uint64_t first_block, Draw draw) {
  const std::int64_t i = thread_number();
  if (i >= blocks) return;
  const std::uint64_t block = first_block + static_cast<std::uint64_t>(i);
  const uint4 word = philox(make_uint4(static_cast<std::uint32_t>(block),
                                       static_cast<std::uint32_t>(block >> 32), draw.major, draw.minor),
                            draw.key0, draw.key1);
  const std::uint32_t words[4] = {word.x, word.y, word.z, word.w};
  const std::int64_t column = i % per_row * 4, first = i / per_row * cols + column;
  const int count = cols - column < 4 ? static_cast<int>(cols - column) : 4;
  if constexpr (W == 4) {
    const Pack<float, 4> in = load<4>(x, i);
    Pack<float, 4> m, out;
    for (int j = 0; j < 4; ++j) {
      m.at[j] = (words[j] >> 8) >= draw.threshold ? draw.keep : 0.0f;
      out.at[j] = in.at[j] * m.at[j];
    }
    store(mask, i, m);
    store(y, i, out);
  } else {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if (j >= count) break;
      const float m = (words[j] >> 8) >= draw.threshold ? draw.keep : 0.0f;
      mask[first + j] = m;
      y[first + j] = x[first + j] * m;
    }
  }
}

}  // namespace

void dropout(const float* x, float* y, float* mask, std::int64_t rows, std::int64_t cols, float p,
             const RandomStream& random, std::int64_t first_row, cudaStream_t stream) {
  if (rows * cols == 0) return;
  const Draw draw{static_cast<std::uint32_t>(random.seed),
                  static_cast<std::uint32_t>(random.seed >> 32) ^
                      (static_cast<std::uint32_t>(random.purpose) * 0x9E3779B1u),
                  random.major,
                  random.minor,
                  static_cast<std::uint32_t>(p * 16777216.0f),
                  1.0f / (1.0f - p)};
  const std::int64_t per_row = (cols + 3) / 4, blocks = rows * per_row;
  const std::uint64_t first = static_cast<std::uint64_t>(first_row) * static_cast<std::uint64_t>(per_row);
  const unsigned grid = blocks_of(blocks);
  if (in_packs(cols, x, y, mask))
    dropout_kernel<4><<<grid, kThreads, 0, stream>>>(x, y, mask, cols, per_row, blocks, first, draw);
  else
    dropout_kernel<1><<<grid, kThreads, 0, stream>>>(x, y, mask, cols, per_row, blocks, first, draw);
}

}  // namespace rondo::kernels
