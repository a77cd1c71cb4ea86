// Losses and their gradients; Backend says what they are.
//
// Shapes: target and weights are [rows, cols]; prediction and gradient [rows, cols], of the pinball loss
// [rows, cols * quantiles] with the quantiles innermost. losses: one double a row, overwritten. Outputs
// overlap no input. A warp takes a row: each lane adds every 32nd term in double precision, then reduce.cuh's
// order. Cost in bytes an element of prediction: 16 squared, 8 and 8 / quantiles pinball.
#include "launch.hpp"
#include "reduce.cuh"

namespace rondo::kernels {
namespace {

constexpr int kRows = 4;  // rows, and warps, of a block

__device__ std::int64_t row_number() { return static_cast<std::int64_t>(blockIdx.x) * kRows + threadIdx.y; }

__global__ void squared_kernel(const float* prediction, const float* target, const float* weights,
                               std::int64_t rows, std::int64_t cols, float scale, double* losses,
                               float* gradient) {
  const std::int64_t r = row_number();
  if (r >= rows) return;
  double loss = 0;
  for (std::int64_t c = threadIdx.x; c < cols; c += 32) {
    const std::int64_t i = r * cols + c;
    const float w = weights[i], e = prediction[i] - target[i];
    loss += static_cast<double>(w * e * e);
    gradient[i] = 2 * scale * w * e;
  }
  loss = warp_sum(loss);
  if (threadIdx.x == 0) losses[r] = loss;
}

__global__ void pinball_kernel(const float* prediction, const float* target, const float* weights,
                               std::int64_t rows, std::int64_t cols, const float* quantiles,
                               std::int64_t count, float scale, double* losses, float* gradient) {
  const std::int64_t r = row_number();
  if (r >= rows) return;
  double loss = 0;
  const auto levels = static_cast<unsigned>(count), width = static_cast<unsigned>(cols) * levels;
  for (unsigned c = threadIdx.x; c < width; c += 32) {  // a row has less than 2^32 values
    const std::int64_t i = r * width + c, of_target = r * cols + c / levels;
    const float q = quantiles[c % levels], w = weights[of_target], e = target[of_target] - prediction[i];
    const float slope = e >= 0 ? q : q - 1.0f;
    loss += static_cast<double>(w * (slope * e));
    gradient[i] = -scale * w * slope;
  }
  loss = warp_sum(loss);
  if (threadIdx.x == 0) losses[r] = loss;
}

unsigned blocks_of_rows(std::int64_t rows) { return static_cast<unsigned>((rows + kRows - 1) / kRows); }

}  // namespace

void squared_loss(const float* prediction, const float* target, const float* weights, std::int64_t rows,
                  std::int64_t cols, float scale, double* losses, float* gradient, cudaStream_t stream) {
  if (rows == 0) return;
  squared_kernel<<<blocks_of_rows(rows), dim3(32, kRows), 0, stream>>>(prediction, target, weights, rows,
                                                                       cols, scale, losses, gradient);
}

void pinball_loss(const float* prediction, const float* target, const float* weights, std::int64_t rows,
                  std::int64_t cols, const float* quantiles, std::int64_t count, float scale, double* losses,
                  float* gradient, cudaStream_t stream) {
  if (rows == 0) return;
  pinball_kernel<<<blocks_of_rows(rows), dim3(32, kRows), 0, stream>>>(
      prediction, target, weights, rows, cols, quantiles, count, scale, losses, gradient);
}

}  // namespace rondo::kernels
