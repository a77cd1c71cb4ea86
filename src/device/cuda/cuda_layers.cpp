// Layers and losses of the CUDA backend: each hands its shapes to a kernel.
#include <bit>
#include <utility>

#include "cuda_backend.hpp"
#include "kernels/launch.hpp"
#include "rondo/core/error.hpp"

namespace rondo {
namespace {

kernels::TapShape taps_of(ConvShape s) { return {s.batch, s.time, s.channels, s.taps, s.dilation}; }

}  // namespace

float* CudaBackend::column_scratch(const Matrix& m) {
  return static_cast<float*>(scratch_.need(kernels::column_scratch(m.rows, m.cols) * sizeof(float), stream_));
}

void CudaBackend::bias_activation(Matrix y, const real* bias, Activation act, real* slope) {
  kernels::bias_activation(y.data, bias, y.rows, y.cols, act, slope, stream_.grouped());
  check_launch("bias_activation");
}

void CudaBackend::activation_backward(Matrix dy, const real* slope, real* bias_grad, bool accumulate) {
  float* const scratch = column_scratch(dy);
  kernels::activation_backward(dy.data, slope, dy.rows, dy.cols, bias_grad, accumulate, scratch,
                               stream_.grouped());
  check_launch("activation_backward");
}

void CudaBackend::layer_norm(Matrix x, const real* residual, const real* gain, const real* bias, Matrix y,
                             Matrix normalised, real* rstd) {
  kernels::layer_norm(x.data, residual, gain, bias, x.rows, x.cols, y.data, normalised.data, rstd,
                      stream_.grouped());
  check_launch("layer_norm");
}

void CudaBackend::layer_norm_backward(Matrix dy, Matrix normalised, const real* rstd, const real* gain,
                                      Matrix dx, real* gain_grad, real* bias_grad, bool accumulate) {
  float* const scratch = column_scratch(dy);
  kernels::layer_norm_backward(dy.data, normalised.data, rstd, gain, dy.rows, dy.cols, dx.data, gain_grad,
                               bias_grad, accumulate, scratch, stream_.grouped());
  check_launch("layer_norm_backward");
}

void CudaBackend::dropout(Matrix x, Matrix y, real* mask, real p, const RandomStream& stream,
                          std::int64_t first_row) {
  kernels::dropout(x.data, y.data, mask, x.rows, x.cols, p, stream, first_row, stream_.grouped());
  check_launch("dropout");
}

void CudaBackend::multiply(Matrix y, const real* x) {
  kernels::multiply(y.data, x, y.size(), stream_.grouped());
  check_launch("multiply");
}
void CudaBackend::add(Matrix y, const real* x) {
  kernels::add(y.data, x, y.size(), stream_.grouped());
  check_launch("add");
}
void CudaBackend::scale(Matrix y, real factor) {
  kernels::scale(y.data, y.size(), factor, stream_.grouped());
  check_launch("scale");
}

void CudaBackend::copy_columns(Matrix wide, std::int64_t at, Matrix narrow, bool gather) {
  kernels::copy_columns(wide.data, wide.cols, at, narrow.data, narrow.rows, narrow.cols, gather,
                        stream_.grouped());
  check_launch("copy_columns");
}

// A wait for each would keep the card from running ahead of the host: a wrong id gives zeros and is noted.
void CudaBackend::embedding(Matrix ids, Matrix table, Matrix y) {
  const auto call = static_cast<std::uint32_t>(embedded_rows_.size());
  embedded_rows_.push_back(table.rows);
  kernels::embedding(ids.data, ids.size(), table.data, table.rows, table.cols, y.data, call,
                     first_wrong_.on_card(), stream_.grouped());
  check_launch("embedding");
}

void CudaBackend::check_ids() {
  if (embedded_rows_.empty()) return;
  const std::vector<std::int64_t> rows = std::exchange(embedded_rows_, {});
  const unsigned long long wrong = first_wrong_.fetch();
  if (wrong == PinnedResult::kNone) return;
  first_wrong_.clear();
  const auto id = std::bit_cast<float>(static_cast<std::uint32_t>(wrong));
  throw Error(fmt::format("embedding id {} is outside 0..{}", id, rows[wrong >> 32] - 1));
}

void CudaBackend::embedding_backward(Matrix ids, Matrix dy, Matrix table_grad, bool accumulate) {
  auto* keys = static_cast<std::uint64_t*>(
      scratch_.need(kernels::embedding_keys(ids.size()) * sizeof(std::uint64_t), stream_));
  kernels::embedding_backward(ids.data, ids.size(), dy.data, table_grad.rows, table_grad.cols,
                              table_grad.data, accumulate, keys, stream_.grouped());
  check_launch("embedding_backward");
}

void CudaBackend::gather_taps(Matrix x, ConvShape shape, Matrix taps) {
  kernels::gather_taps(x.data, taps_of(shape), taps.data, stream_.grouped());
  check_launch("gather_taps");
}
void CudaBackend::scatter_taps(Matrix dtaps, ConvShape shape, Matrix dx) {
  kernels::scatter_taps(dtaps.data, taps_of(shape), dx.data, stream_.grouped());
  check_launch("scatter_taps");
}

void CudaBackend::squared_loss(Matrix prediction, Matrix target, Matrix weights, real scale, double* losses,
                               Matrix gradient) {
  const std::int64_t rows = target.rows;
  kernels::squared_loss(prediction.data, target.data, weights.data, rows, target.cols, scale, losses,
                        gradient.data, stream_.grouped());
  check_launch("squared_loss");
}

void CudaBackend::pinball_loss(Matrix prediction, Matrix target, Matrix weights,
                               std::span<const double> quantiles, real scale, double* losses,
                               Matrix gradient) {
  std::vector<float> levels(quantiles.begin(), quantiles.end());
  const auto count = static_cast<std::int64_t>(levels.size());
  if (levels != last_quantiles_) {  // a task's stay the same: one copy for all steps
    quantiles_on_card_ =
        static_cast<const float*>(quantiles_.send(levels.data(), levels.size() * sizeof(float)));
    last_quantiles_ = std::move(levels);
  }
  kernels::pinball_loss(prediction.data, target.data, weights.data, target.rows, target.cols,
                        quantiles_on_card_, count, scale, losses, gradient.data, stream_.grouped());
  check_launch("pinball_loss");
}

}  // namespace rondo
