// Layer normalisation (Ba, Kiros and Hinton, 2016) of x or of x + residual, and its backward.
//
// Shapes: x, residual (or null), y, normalised, dy and dx are [rows, cols], rstd [rows], the rest [cols].
// Outputs overlap no input. gain_grad and bias_grad are overwritten, or added to where `accumulate` says so,
// also with no rows. Rows of whole packs of four are held in registers: up to 1,024 columns by one warp
// (forward) or by a warp for every 128 (backward), which then sums its columns' gradients over a chunk of
// rows on the way; up to 4,096 by a block (forward only). Other rows are read again for every sum: by a warp
// up to 1,024 columns, else by a block. A thread adds its own values from first to last, reduce.cuh and
// columns.cuh the threads': so a row's bits depend on its width (and alignment) alone, a column's also on the
// number of rows. Cost in bytes an element: held, forward 12 (16 with a residual), backward 12; else forward
// 12, if a row stays in the first-level cache, and backward 12 + 8 for the columns' sums.
#include "columns.cuh"
#include "reduce.cuh"

namespace rondo::kernels {
namespace {

constexpr std::int64_t kWarpCols = 1024, kBlockCols = 4096;
constexpr float kEpsilon = 1e-5f;

// blockDim: (32 * kWarps, rows of the block). Sums f(c) over the row's columns.
template <int kWarps, class F>
__device__ float row_sum(std::int64_t cols, float* shared, F f) {
  float sum = 0;
  for (std::int64_t c = threadIdx.x; c < cols; c += 32 * kWarps) sum += f(c);
  return group_sum<kWarps>(sum, shared, static_cast<int>(threadIdx.x));
}

template <int kWarps>
__global__ void forward_kernel(const float* x, const float* residual, const float* gain, const float* bias,
                               std::int64_t rows, std::int64_t cols, float* y, float* normalised,
                               float* rstd) {
  __shared__ float shared[kWarps];
  const std::int64_t r = static_cast<std::int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (r >= rows) return;  // whole warps, and with kWarps > 1 never
  const float* in = x + r * cols;
  const float* more = residual == nullptr ? nullptr : residual + r * cols;
  const auto at = [=](std::int64_t c) { return more == nullptr ? in[c] : in[c] + more[c]; };
  const float n = static_cast<float>(cols);
  const float mean = row_sum<kWarps>(cols, shared, at) / n;
  const float variance = row_sum<kWarps>(cols, shared,
                                         [=](std::int64_t c) {
                                           const float d = at(c) - mean;
                                           return d * d;
                                         }) /
                         n;
  const float scale = 1.0f / sqrtf(variance + kEpsilon);
  if (threadIdx.x == 0) rstd[r] = scale;
  for (std::int64_t c = threadIdx.x; c < cols; c += 32 * kWarps) {
    const float z = (at(c) - mean) * scale;
    normalised[r * cols + c] = z;
    y[r * cols + c] = z * gain[c] + bias[c];
  }
}

// The same for rows of `packs` packs, of which a thread holds up to kHeld.
template <int kWarps, int kHeld>
__global__ void forward_held_kernel(const float* x, const float* residual, const float* gain,
                                    const float* bias, std::int64_t rows, int packs, float* y,
                                    float* normalised, float* rstd) {
  __shared__ float shared[kWarps];
  const std::int64_t r = static_cast<std::int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (r >= rows) return;
  const std::int64_t row = r * packs;
  const int thread = static_cast<int>(threadIdx.x);
  const float n = 4.0f * static_cast<float>(packs);
  Pack<float, 4> own[kHeld];
  float sum = 0;
#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
    const int p = thread + k * 32 * kWarps;
    if (p >= packs) continue;
    own[k] = load<4>(x, row + p);
    if (residual != nullptr) {
      const Pack<float, 4> more = load<4>(residual, row + p);
      for (int j = 0; j < 4; ++j) own[k].at[j] += more.at[j];
    }
    for (int j = 0; j < 4; ++j) sum += own[k].at[j];
  }
  const float mean = group_sum<kWarps>(sum, shared, thread) / n;
  float squares = 0;
#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
    if (thread + k * 32 * kWarps >= packs) continue;
    for (int j = 0; j < 4; ++j) {
      own[k].at[j] -= mean;
      squares += own[k].at[j] * own[k].at[j];
    }
  }
  const float scale = 1.0f / sqrtf(group_sum<kWarps>(squares, shared, thread) / n + kEpsilon);
  if (thread == 0) rstd[r] = scale;
#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
    const int p = thread + k * 32 * kWarps;
    if (p >= packs) continue;
    const Pack<float, 4> g = load<4>(gain, p), b = load<4>(bias, p);
    Pack<float, 4> out;
    for (int j = 0; j < 4; ++j) {
      own[k].at[j] *= scale;
      out.at[j] = own[k].at[j] * g.at[j] + b.at[j];
    }
    store(normalised, row + p, own[k]);
    store(y, row + p, out);
  }
}

template <int kWarps>
__global__ void backward_kernel(const float* dy, const float* normalised, const float* rstd,
                                const float* gain, std::int64_t rows, std::int64_t cols, float* dx) {
  __shared__ float shared[kWarps];
  const std::int64_t r = static_cast<std::int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (r >= rows) return;
  const float* d = dy + r * cols;
  const float* z = normalised + r * cols;
  const float n = static_cast<float>(cols);
  const float mean_d = row_sum<kWarps>(cols, shared, [=](std::int64_t c) { return d[c] * gain[c]; }) / n;
  const float mean_dz =
      row_sum<kWarps>(cols, shared, [=](std::int64_t c) { return d[c] * gain[c] * z[c]; }) / n;
  const float scale = rstd[r];
  for (std::int64_t c = threadIdx.x; c < cols; c += 32 * kWarps)
    dx[r * cols + c] = (d[c] * gain[c] - mean_d - z[c] * mean_dz) * scale;
}

struct GainAndBias {
  const float *dy, *normalised;
  template <int W>
  __device__ void operator()(std::int64_t i, Pack<float, W>* sums) const {
    const Pack<float, W> d = load<W>(dy, i), z = load<W>(normalised, i);
    for (int j = 0; j < W; ++j) {
      sums[0].at[j] += d.at[j] * z.at[j];
      sums[1].at[j] += d.at[j];
    }
  }
};

// kWarps warps a row, one pack a thread, 8 / kWarps rows at a time; a block takes a chunk of rows. partial:
// [gain and bias, chunks, cols].
template <int kWarps>
__global__ void backward_held_kernel(const float* dy, const float* normalised, const float* rstd,
                                     const float* gain, std::int64_t rows, int packs, std::int64_t chunk_rows,
                                     float* dx, float* partial) {
  constexpr int kGroups = 8 / kWarps;
  __shared__ float shared[2][kGroups][kWarps][2];  // two turns: a row may write while the one before is read
  __shared__ Pack<float, 4> columns[kGroups][2][32 * kWarps];
  const int thread = static_cast<int>(threadIdx.x), group = static_cast<int>(threadIdx.y);
  const std::int64_t begin = blockIdx.x * chunk_rows;
  const std::int64_t end = begin + chunk_rows < rows ? begin + chunk_rows : rows;
  const float n = 4.0f * static_cast<float>(packs);
  Pack<float, 4> g = {}, gain_sum = {}, bias_sum = {};
  if (thread < packs) g = load<4>(gain, thread);
  int turn = 0;
  for (std::int64_t first = begin; first < end; first += kGroups, turn ^= 1) {
    const std::int64_t r = first + group;
    const bool here = r < end && thread < packs;
    Pack<float, 4> d = {}, z = {};
    if (here) {
      d = load<4>(dy, r * packs + thread);
      z = load<4>(normalised, r * packs + thread);
    }
    float sum_d = 0, sum_dz = 0;
    for (int j = 0; j < 4; ++j) {
      gain_sum.at[j] += d.at[j] * z.at[j];
      bias_sum.at[j] += d.at[j];
      d.at[j] *= g.at[j];
      sum_d += d.at[j];
      sum_dz += d.at[j] * z.at[j];
    }
    sum_d = warp_sum(sum_d);
    sum_dz = warp_sum(sum_dz);
    if constexpr (kWarps > 1) {
      if (thread % 32 == 0) {
        shared[turn][group][thread / 32][0] = sum_d;
        shared[turn][group][thread / 32][1] = sum_dz;
      }
      __syncthreads();
      sum_d = sum_dz = 0;
      for (int warp = 0; warp < kWarps; ++warp) {
        sum_d += shared[turn][group][warp][0];
        sum_dz += shared[turn][group][warp][1];
      }
    }
    if (!here) continue;
    const float scale = rstd[r], mean_d = sum_d / n, mean_dz = sum_dz / n;
    for (int j = 0; j < 4; ++j) d.at[j] = (d.at[j] - mean_d - z.at[j] * mean_dz) * scale;
    store(dx, r * packs + thread, d);
  }
  columns[group][0][thread] = gain_sum;
  columns[group][1][thread] = bias_sum;
  __syncthreads();
  if (group > 0 || thread >= packs) return;
  for (int s = 0; s < 2; ++s) {
    Pack<float, 4> sum = {};
    for (int of = 0; of < kGroups; ++of)
      for (int j = 0; j < 4; ++j) sum.at[j] += columns[of][s][thread].at[j];
    store(partial, (static_cast<std::int64_t>(s) * gridDim.x + blockIdx.x) * packs + thread, sum);
  }
}

// Four rows a block where a warp takes one.
unsigned warp_blocks(std::int64_t rows) { return static_cast<unsigned>((rows + 3) / 4); }

}  // namespace

void layer_norm(const float* x, const float* residual, const float* gain, const float* bias,
                std::int64_t rows, std::int64_t cols, float* y, float* normalised, float* rstd,
                cudaStream_t stream) {
  if (rows * cols == 0) return;
  const dim3 by_warps(32, 4), by_block(256);
  const unsigned one_a_block = static_cast<unsigned>(rows);
  const auto held = [&](auto kernel, unsigned grid, dim3 block) {
    kernel<<<grid, block, 0, stream>>>(x, residual, gain, bias, rows, static_cast<int>(cols / 4), y,
                                       normalised, rstd);
  };
  const auto loops = [&](auto kernel, unsigned grid, dim3 block) {
    kernel<<<grid, block, 0, stream>>>(x, residual, gain, bias, rows, cols, y, normalised, rstd);
  };
  const bool packed = in_packs(cols, x, residual, gain, bias, y, normalised);
  if (packed && cols <= kWarpCols / 4)
    held(forward_held_kernel<1, 2>, warp_blocks(rows), by_warps);
  else if (packed && cols <= kWarpCols)
    held(forward_held_kernel<1, 8>, warp_blocks(rows), by_warps);
  else if (packed && cols <= kBlockCols)
    held(forward_held_kernel<8, 4>, one_a_block, by_block);
  else if (cols <= kWarpCols)
    loops(forward_kernel<1>, warp_blocks(rows), by_warps);
  else
    loops(forward_kernel<8>, one_a_block, by_block);
}

void layer_norm_backward(const float* dy, const float* normalised, const float* rstd, const float* gain,
                         std::int64_t rows, std::int64_t cols, float* dx, float* gain_grad, float* bias_grad,
                         bool accumulate, float* scratch, cudaStream_t stream) {
  const bool packed = in_packs(cols, dy, normalised, gain, dx);
  if (rows * cols > 0 && packed && cols <= kWarpCols) {
    const RowChunks chunks(rows);
    const int packs = static_cast<int>(cols / 4);
    const auto held = [&](auto kernel, unsigned warps) {
      kernel<<<static_cast<unsigned>(chunks.count), dim3(32 * warps, 8 / warps), 0, stream>>>(
          dy, normalised, rstd, gain, rows, packs, chunks.rows, dx, scratch);
    };
    if (packs <= 32)
      held(backward_held_kernel<1>, 1);
    else if (packs <= 64)
      held(backward_held_kernel<2>, 2);
    else if (packs <= 128)
      held(backward_held_kernel<4>, 4);
    else
      held(backward_held_kernel<8>, 8);
    add_chunks<2>(scratch, chunks.count, cols, gain_grad, bias_grad, accumulate, stream);
    return;
  }
  if (rows * cols > 0) {
    if (cols <= kWarpCols)
      backward_kernel<1>
          <<<warp_blocks(rows), dim3(32, 4), 0, stream>>>(dy, normalised, rstd, gain, rows, cols, dx);
    else
      backward_kernel<8>
          <<<static_cast<unsigned>(rows), dim3(256), 0, stream>>>(dy, normalised, rstd, gain, rows, cols, dx);
  }
  column_sums<2>(rows, cols, packed, GainAndBias{dy, normalised}, gain_grad, bias_grad, accumulate, scratch,
                 stream);
}

}  // namespace rondo::kernels
