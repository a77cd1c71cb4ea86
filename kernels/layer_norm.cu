// Layer normalisation (Ba, Kiros and Hinton, 2016) and its backward.
//
// Shapes: x, y, normalised, dy and dx are [rows, cols], rstd [rows], the rest [cols]. Outputs overlap no
// input. gain_grad and bias_grad are overwritten, or added to where `accumulate` says so, also with no rows.
// A row of up to 1,024 values is one warp's, a wider one a block's of 256 threads: each thread sums every
// 32nd (256th) value, and those sums are added by reduce.cuh. So a row's bits depend on its width alone. Cost
// in bytes an element, if a row stays in the first-level cache: forward 12, backward 12 + 8 for the columns'
// sums.
#include "columns.cuh"
#include "reduce.cuh"

namespace rondo::kernels {
namespace {

constexpr std::int64_t kWarpCols = 1024;
constexpr float kEpsilon = 1e-5f;

// blockDim: (32 * kWarps, rows of the block). Sums f(c) over the row's columns.
template <int kWarps, class F>
__device__ float row_sum(std::int64_t cols, float* shared, F f) {
  float sum = 0;
  for (std::int64_t c = threadIdx.x; c < cols; c += 32 * kWarps) sum += f(c);
  return group_sum<kWarps>(sum, shared, static_cast<int>(threadIdx.x));
}

template <int kWarps>
__global__ void forward_kernel(const float* x, const float* gain, const float* bias, std::int64_t rows,
                               std::int64_t cols, float* y, float* normalised, float* rstd) {
  __shared__ float shared[kWarps];
  const std::int64_t r = static_cast<std::int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (r >= rows) return;  // whole warps, and with kWarps > 1 never
  const float* in = x + r * cols;
  const float n = static_cast<float>(cols);
  const float mean = row_sum<kWarps>(cols, shared, [=](std::int64_t c) { return in[c]; }) / n;
  const float variance = row_sum<kWarps>(cols, shared,
                                         [=](std::int64_t c) {
                                           const float d = in[c] - mean;
                                           return d * d;
                                         }) /
                         n;
  const float scale = 1.0f / sqrtf(variance + kEpsilon);
  if (threadIdx.x == 0) rstd[r] = scale;
  for (std::int64_t c = threadIdx.x; c < cols; c += 32 * kWarps) {
    const float z = (in[c] - mean) * scale;
    normalised[r * cols + c] = z;
    y[r * cols + c] = z * gain[c] + bias[c];
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
  __device__ void operator()(std::int64_t i, float* sums) const {
    const float d = dy[i];
    sums[0] += d * normalised[i];
    sums[1] += d;
  }
};

// Four rows a block where a warp takes one.
unsigned warp_blocks(std::int64_t rows) { return static_cast<unsigned>((rows + 3) / 4); }

}  // namespace

void layer_norm(const float* x, const float* gain, const float* bias, std::int64_t rows, std::int64_t cols,
                float* y, float* normalised, float* rstd, cudaStream_t stream) {
  if (rows * cols == 0) return;
  if (cols <= kWarpCols)
    forward_kernel<1>
        <<<warp_blocks(rows), dim3(32, 4), 0, stream>>>(x, gain, bias, rows, cols, y, normalised, rstd);
  else
    forward_kernel<8><<<static_cast<unsigned>(rows), dim3(256), 0, stream>>>(x, gain, bias, rows, cols, y,
                                                                             normalised, rstd);
}

void layer_norm_backward(const float* dy, const float* normalised, const float* rstd, const float* gain,
                         std::int64_t rows, std::int64_t cols, float* dx, float* gain_grad, float* bias_grad,
                         bool accumulate, float* scratch, cudaStream_t stream) {
  if (rows * cols > 0) {
    if (cols <= kWarpCols)
      backward_kernel<1>
          <<<warp_blocks(rows), dim3(32, 4), 0, stream>>>(dy, normalised, rstd, gain, rows, cols, dx);
    else
      backward_kernel<8>
          <<<static_cast<unsigned>(rows), dim3(256), 0, stream>>>(dy, normalised, rstd, gain, rows, cols, dx);
  }
  column_sums<2>(rows, cols, GainAndBias{dy, normalised}, gain_grad, bias_grad, accumulate, scratch, stream);
}

}  // namespace rondo::kernels
