// Column sums of row-major matrices: what bias and gain gradients are.
//
// Rows are cut into chunks, a function of the shape alone. A block of 32 x 8 threads sums a chunk of 32 packs
// of columns: each row of threads every eighth row of the matrix, then the eight sums from first to last. A
// second kernel adds the chunks in the same way. So the order is fixed, reads are whole lines of 128 bytes or
// more, and a tall matrix of few columns still fills a card. Cost: what F reads, once; and little for the
// chunks.
#pragma once

#include "launch.hpp"
#include "pack.cuh"

namespace rondo::kernels {

constexpr int kTileCols = 32, kTileRows = 8;
constexpr std::int64_t kMostChunks = 1024;

struct RowChunks {
  std::int64_t rows, count;  // rows of a chunk, chunks
  explicit RowChunks(std::int64_t all, std::int64_t most = kMostChunks) {
    const std::int64_t even = (all + most - 1) / most;
    rows = even < 32 ? 32 : (even + kTileRows - 1) / kTileRows * kTileRows;
    count = (all + rows - 1) / rows;
  }
};

// f(pack, sums) adds what a pack of the matrix gives to kSums sums of its columns; it may also write there.
// partial: [kSums, chunks, cols].
template <int kSums, int W, class F>
__global__ void chunk_sums_kernel(std::int64_t rows, std::int64_t packs, std::int64_t chunk_rows,
                                  float* partial, F f) {
  __shared__ Pack<float, W> shared[kSums][kTileRows][kTileCols];
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * kTileCols + threadIdx.x;
  const std::int64_t begin = blockIdx.y * chunk_rows;
  const std::int64_t end = begin + chunk_rows < rows ? begin + chunk_rows : rows;
  Pack<float, W> own[kSums] = {};
  if (c < packs)
    for (std::int64_t r = begin + threadIdx.y; r < end; r += kTileRows) f(r * packs + c, own);
  for (int s = 0; s < kSums; ++s) shared[s][threadIdx.y][threadIdx.x] = own[s];
  __syncthreads();
  if (threadIdx.y >= kSums || c >= packs) return;
  Pack<float, W> sum = {};
  for (int y = 0; y < kTileRows; ++y)
    for (int j = 0; j < W; ++j) sum.at[j] += shared[threadIdx.y][y][threadIdx.x].at[j];
  store(partial, (static_cast<std::int64_t>(threadIdx.y) * gridDim.y + blockIdx.y) * packs + c, sum);
}

// One row of blocks a sum.
static __global__ void add_chunks_kernel(const float* partial, std::int64_t chunks, std::int64_t cols,
                                         float* first, float* second, bool accumulate) {
  __shared__ float shared[kTileRows][kTileCols];
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * kTileCols + threadIdx.x;
  float own = 0;
  if (c < cols)
#pragma unroll 4
    for (std::int64_t k = threadIdx.y; k < chunks; k += kTileRows)
      own += partial[(blockIdx.y * chunks + k) * cols + c];
  shared[threadIdx.y][threadIdx.x] = own;
  __syncthreads();
  if (threadIdx.y > 0 || c >= cols) return;
  float* to = blockIdx.y == 0 ? first : second;
  float sum = accumulate ? to[c] : 0.0f;
  for (int y = 0; y < kTileRows; ++y) sum += shared[y][threadIdx.x];
  to[c] = sum;
}

/// first[c] (and second[c] if kSums is 2) (+)= the sums over chunks of partial, [kSums, chunks, cols].
template <int kSums>
void add_chunks(const float* partial, std::int64_t chunks, std::int64_t cols, float* first, float* second,
                bool accumulate, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>((cols + kTileCols - 1) / kTileCols), kSums);
  add_chunks_kernel<<<grid, dim3(kTileCols, kTileRows), 0, stream>>>(partial, chunks, cols, first, second,
                                                                     accumulate);
}

/// first[c] (and second[c] if kSums is 2) (+)= the sums of f over rows, in packs of four or not. scratch:
/// column_scratch(rows, cols), aligned to 16 bytes.
template <int kSums, class F>
void column_sums(std::int64_t rows, std::int64_t cols, bool packed, F f, float* first, float* second,
                 bool accumulate, float* scratch, cudaStream_t stream) {
  if (cols == 0 || (rows == 0 && accumulate)) return;
  const RowChunks chunks(rows, 256);
  const auto sum = [&](auto kernel, std::int64_t packs) {
    const dim3 grid(static_cast<unsigned>((packs + kTileCols - 1) / kTileCols),
                    static_cast<unsigned>(chunks.count));
    kernel<<<grid, dim3(kTileCols, kTileRows), 0, stream>>>(rows, packs, chunks.rows, scratch, f);
  };
  if (rows > 0 && packed)
    sum(chunk_sums_kernel<kSums, 4, F>, cols / 4);
  else if (rows > 0)
    sum(chunk_sums_kernel<kSums, 1, F>, cols);
  add_chunks<kSums>(scratch, chunks.count, cols, first, second, accumulate, stream);
}

}  // namespace rondo::kernels
