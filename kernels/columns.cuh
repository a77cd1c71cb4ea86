// Column sums of row-major matrices: what bias and gain gradients are.
//
// Rows are cut into at most 64 chunks, a function of the shape alone. A block of 32 x 8 threads sums a chunk
// of 32 columns: each row of threads every eighth row of the matrix, then the eight sums from first to last.
// A second kernel adds the chunks from first to last. So the order is fixed, reads are whole lines of 128
// bytes, and a tall matrix of few columns still fills a card. Cost: what F reads, once; and little for the
// chunks.
#pragma once

#include "launch.hpp"
#include "pack.cuh"

namespace rondo::kernels {

constexpr int kTileCols = 32, kTileRows = 8;

struct RowChunks {
  std::int64_t rows, count;  // rows of a chunk, chunks
  explicit RowChunks(std::int64_t all) {
    const std::int64_t even = (all + 63) / 64;
    rows = even < 32 ? 32 : (even + kTileRows - 1) / kTileRows * kTileRows;
    count = (all + rows - 1) / rows;
  }
};

// f(index, sums) adds what element `index` gives to kSums sums of its column; it may also write there.
// partial: [kSums, chunks, cols].
template <int kSums, class F>
__global__ void chunk_sums_kernel(std::int64_t rows, std::int64_t cols, std::int64_t chunk_rows,
                                  float* partial, F f) {
  __shared__ float shared[kSums][kTileRows][kTileCols];
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * kTileCols + threadIdx.x;
  const std::int64_t begin = blockIdx.y * chunk_rows;
  const std::int64_t end = begin + chunk_rows < rows ? begin + chunk_rows : rows;
  float own[kSums] = {};
  if (c < cols)
    for (std::int64_t r = begin + threadIdx.y; r < end; r += kTileRows) f(r * cols + c, own);
  for (int s = 0; s < kSums; ++s) shared[s][threadIdx.y][threadIdx.x] = own[s];
  __syncthreads();
  if (threadIdx.y >= kSums || c >= cols) return;
  float sum = 0;
  for (int y = 0; y < kTileRows; ++y) sum += shared[threadIdx.y][y][threadIdx.x];
  partial[(static_cast<std::int64_t>(threadIdx.y) * gridDim.y + blockIdx.y) * cols + c] = sum;
}

// One thread a column, one row of blocks a sum.
static __global__ void add_chunks_kernel(const float* partial, std::int64_t chunks, std::int64_t cols,
                                         float* first, float* second, bool accumulate) {
  const std::int64_t c = thread_number();
  if (c >= cols) return;
  float* to = blockIdx.y == 0 ? first : second;
  float sum = accumulate ? to[c] : 0.0f;
  for (std::int64_t k = 0; k < chunks; ++k) sum += partial[(blockIdx.y * chunks + k) * cols + c];
  to[c] = sum;
}

/// first[c] (and second[c] if kSums is 2) (+)= the sums of f over rows. scratch: column_scratch(rows, cols).
template <int kSums, class F>
void column_sums(std::int64_t rows, std::int64_t cols, F f, float* first, float* second, bool accumulate,
                 float* scratch, cudaStream_t stream) {
  if (cols == 0 || (rows == 0 && accumulate)) return;
  const RowChunks chunks(rows);
  if (rows > 0) {
    const dim3 grid(static_cast<unsigned>((cols + kTileCols - 1) / kTileCols),
                    static_cast<unsigned>(chunks.count));
    chunk_sums_kernel<kSums>
        <<<grid, dim3(kTileCols, kTileRows), 0, stream>>>(rows, cols, chunks.rows, scratch, f);
  }
  add_chunks_kernel<<<dim3(blocks_of(cols), kSums), kThreads, 0, stream>>>(scratch, chunks.count, cols, first,
                                                                           second, accumulate);
}

}  // namespace rondo::kernels
