#include "reference_backend.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "reference_ops.hpp"

namespace rondo {
namespace {

static_assert(std::is_same_v<real, double>, "the reference backend needs -DRONDO_REAL=double");

using reference::Mat;

class HostBuffer : public Buffer {
 public:
  explicit HostBuffer(std::size_t bytes) : lines_(bytes / sizeof(Line) + 1), bytes_(bytes) {}
  void* data() override { return lines_.data(); }
  std::size_t bytes() const override { return bytes_; }

 private:
  struct alignas(64) Line {
    std::byte bytes[64] = {};
  };
  std::vector<Line> lines_;
  std::size_t bytes_;
};

Mat mat(Matrix m) { return {m.data, m.rows, m.cols}; }

std::vector<double> wide(const Operand& m) {
  std::vector<double> values(static_cast<std::size_t>(m.rows * m.cols));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = is_half(m.precision) ? reference::from_bfloat16(static_cast<const std::uint16_t*>(m.data)[i])
                                     : static_cast<const double*>(m.data)[i];
  return values;
}

}  // namespace

std::unique_ptr<Buffer> ReferenceBackend::allocate(std::size_t bytes) {
  return std::make_unique<HostBuffer>(bytes);
}
void ReferenceBackend::copy_in(void* device, const void* host, std::size_t bytes) {
  if (bytes != 0) std::memcpy(device, host, bytes);
}
void ReferenceBackend::copy_out(void* host, const void* device, std::size_t bytes) {
  if (bytes != 0) std::memcpy(host, device, bytes);
}

void ReferenceBackend::matmul(Operand a, bool transpose_a, Operand b, bool transpose_b, Matrix c,
                              bool accumulate, const RowsDone& so_far) {
  std::vector<double> wide_a = wide(a), wide_b = wide(b);
  reference::matmul({wide_a.data(), a.rows, a.cols}, transpose_a, {wide_b.data(), b.rows, b.cols},
                    transpose_b, mat(c), accumulate);
  if (!so_far) return;
  real* const rest = c.data + c.rows / 2 * c.cols;  // as if it were to come
  const std::vector<double> later(rest, c.data + c.size());
  std::fill(rest, c.data + c.size(), std::nan(""));
  so_far(c.rows / 2);
  std::ranges::copy(later, rest);
}
void ReferenceBackend::to_half(std::uint16_t* to, const real* from, std::int64_t n, Precision) {
  for (std::int64_t i = 0; i < n; ++i) to[i] = reference::to_bfloat16(static_cast<float>(from[i]));
}

void ReferenceBackend::bias_activation(Matrix y, const real* bias, Activation act, real* slope) {
  if (act == Activation::relu)
    for (std::int64_t i = 0; i < y.size(); ++i)
      nearest_kink = std::min(nearest_kink, std::fabs(y.data[i] + bias[i % y.cols]));
  reference::bias_activation(mat(y), bias, act, slope);
}
void ReferenceBackend::activation_backward(Matrix dy, const real* slope, real* bias_grad, bool accumulate) {
  reference::activation_backward(mat(dy), slope, bias_grad, accumulate);
}
void ReferenceBackend::layer_norm(Matrix x, const real* residual, const real* gain, const real* bias,
                                  Matrix y, Matrix normalised, real* rstd) {
  std::vector<double> sum(x.data, x.data + x.size());
  for (std::size_t i = 0; residual != nullptr && i < sum.size(); ++i) sum[i] += residual[i];
  reference::layer_norm({sum.data(), x.rows, x.cols}, gain, bias, mat(y), mat(normalised), rstd);
}
void ReferenceBackend::layer_norm_backward(Matrix dy, Matrix normalised, const real* rstd, const real* gain,
                                           Matrix dx, real* gain_grad, real* bias_grad, bool accumulate) {
  reference::layer_norm_backward(mat(dy), mat(normalised), rstd, gain, mat(dx), gain_grad, bias_grad,
                                 accumulate);
}
void ReferenceBackend::dropout(Matrix x, Matrix y, real* mask, real p, const RandomStream& stream,
                               std::int64_t first_row) {
  reference::dropout_mask({mask, x.rows, x.cols}, p, stream, first_row);
  for (std::int64_t i = 0; i < x.size(); ++i) y.data[i] = x.data[i] * mask[i];
}
void ReferenceBackend::multiply(Matrix y, const real* x) {
  for (std::int64_t i = 0; i < y.size(); ++i) y.data[i] *= x[i];
}
void ReferenceBackend::add(Matrix y, const real* x) {
  for (std::int64_t i = 0; i < y.size(); ++i) y.data[i] += x[i];
}
void ReferenceBackend::scale(Matrix y, real factor) {
  for (std::int64_t i = 0; i < y.size(); ++i) y.data[i] *= factor;
}
void ReferenceBackend::copy_columns(Matrix wide, std::int64_t at, Matrix narrow, bool gather) {
  reference::copy_columns(mat(wide), at, mat(narrow), gather);
}
void ReferenceBackend::embedding(Matrix ids, Matrix table, Matrix y) {
  reference::embedding(mat(ids), mat(table), mat(y));
}
void ReferenceBackend::embedding_backward(Matrix ids, Matrix dy, Matrix table_grad, bool accumulate) {
  reference::embedding_backward(mat(ids), mat(dy), mat(table_grad), accumulate);
}
void ReferenceBackend::gather_taps(Matrix x, ConvShape shape, Matrix taps) {
  reference::gather_taps(mat(x), shape, mat(taps));
}
void ReferenceBackend::scatter_taps(Matrix dtaps, ConvShape shape, Matrix dx) {
  reference::scatter_taps(mat(dtaps), shape, mat(dx));
}

void ReferenceBackend::squared_loss(Matrix prediction, Matrix target, Matrix weights, real scale,
                                    double* losses, Matrix gradient) {
  reference::squared_loss(mat(prediction), mat(target), mat(weights), scale, losses, mat(gradient));
}
void ReferenceBackend::pinball_loss(Matrix prediction, Matrix target, Matrix weights,
                                    std::span<const double> quantiles, real scale, double* losses,
                                    Matrix gradient) {
  const auto per_target = static_cast<std::int64_t>(quantiles.size());
  for (std::int64_t i = 0; i < prediction.size(); ++i)
    nearest_kink = std::min(nearest_kink, std::fabs(target.data[i / per_target] - prediction.data[i]));
  reference::pinball_loss(mat(prediction), mat(target), mat(weights), quantiles, scale, losses,
                          mat(gradient));
}

void ReferenceBackend::quantise(std::uint32_t* q, const real* g, std::int64_t blocks, const float* scales,
                                Held held, std::uint32_t* max_bits, std::uint32_t* checksums) {
  for (std::int64_t i = 0; i < blocks * kBlock; ++i) {
    const auto fixed = [&](float value) {
      max_bits[i / kBlock] = std::max(max_bits[i / kBlock], reference::magnitude_bits(value));
      return static_cast<std::uint32_t>(reference::to_fixed(value, scales[i / kBlock]));
    };
    const std::uint32_t before = held == Held::values     ? fixed(std::bit_cast<float>(q[i]))
                                 : held == Held::integers ? q[i]
                                                          : 0;
    q[i] = before + fixed(static_cast<float>(g[i]));
  }
  if (checksums != nullptr) checksum(q, blocks, checksums);
}
void ReferenceBackend::checksum(const std::uint32_t* q, std::int64_t blocks, std::uint32_t* checksums) {
  for (std::int64_t b = 0; b < blocks; ++b) checksums[b] = reference::checksum({q + b * kBlock, kBlock});
}
void ReferenceBackend::block_squares(GradientView g, std::int64_t blocks, double* squares) {
  reference::block_squares(reference::scaled(g, blocks), squares);
}
void ReferenceBackend::adamw(real* w, real* m, real* v, GradientView g, std::int64_t blocks,
                             const float* block_decay, AdamWStep step, std::uint32_t* /*seen*/) {
  reference::adamw(w, m, v, reference::scaled(g, blocks), block_decay, step);
}
void ReferenceBackend::sgd(real* w, real* momentum, GradientView g, std::int64_t blocks,
                           const float* block_decay, float rate, float beta, float decay,
                           std::uint32_t* /*seen*/) {
  reference::sgd(w, momentum, reference::scaled(g, blocks), block_decay, rate, beta, decay);
}
void ReferenceBackend::average(real* average, const real* w, std::int64_t n, float decay) {
  reference::average(average, w, n, decay);
}

}  // namespace rondo
