// Layers and losses of the CPU backend. Row-wise reductions run over 16 fixed lanes in float32 and are added
// up in one order; what is not hot is plain.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "cpu_backend.hpp"
#include "rondo/core/error.hpp"

namespace rondo {
namespace {

std::size_t length(std::int64_t n) { return static_cast<std::size_t>(n); }

// Sum over i of f(i) in 16 lanes: the compiler may use vectors of any width and gets the same bits.
template <class F>
float lane_sum(std::int64_t n, F f) {
  constexpr std::int64_t kLanes = 16;
  float lane[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (std::int64_t j = 0; j < kLanes; ++j) lane[j] += f(i + j);
  for (std::int64_t j = 0; i + j < n; ++j) lane[j] += f(i + j);
  float sum = 0;
  for (const float x : lane) sum += x;
  return sum;
}

// Functions of their own, because there the compiler believes that nothing overlaps, and works on vectors.
void add_to_columns(const float* __restrict d, const float* __restrict z, float* __restrict gain_grad,
                    float* __restrict bias_grad, std::int64_t n) {
  for (std::int64_t c = 0; c < n; ++c) {
    gain_grad[c] += d[c] * z[c];
    bias_grad[c] += d[c];
  }
}
void layer_norm_slope(const float* __restrict d, const float* __restrict z, const float* __restrict gain,
                      float* __restrict dx, std::int64_t n, float mean_d, float mean_dz, float rstd) {
  for (std::int64_t c = 0; c < n; ++c) dx[c] = (d[c] * gain[c] - mean_d - z[c] * mean_dz) * rstd;
}

}  // namespace

void CpuBackend::bias_activation(Matrix y, const real* bias, Activation act, real* slope) {
  simd_.bias_activation(y.data, slope, bias, length(y.rows), length(y.cols), act);
}

void CpuBackend::activation_backward(Matrix dy, const real* slope, real* bias_grad, bool accumulate) {
  simd_.activation_backward(dy.data, slope, bias_grad, length(dy.rows), length(dy.cols), accumulate);
}

void CpuBackend::layer_norm(Matrix x, const real* residual, const real* gain, const real* bias, Matrix y,
                            Matrix normalised, real* rstd) {
  const std::int64_t n = x.cols;
  for (std::int64_t r = 0; r < x.rows; ++r) {
    const float* in = x.data + r * n;
    if (residual != nullptr) {  // in place of the result, which is written value by value after it was read
      std::memcpy(y.data + r * n, in, length(n) * sizeof(float));
      simd_.add_f32(y.data + r * n, residual + r * n, length(n));
      in = y.data + r * n;
    }
    const float mean = lane_sum(n, [=](std::int64_t c) { return in[c]; }) / static_cast<float>(n);
    const float variance =
        lane_sum(n, [=](std::int64_t c) { return (in[c] - mean) * (in[c] - mean); }) / static_cast<float>(n);
    rstd[r] = 1.0f / std::sqrt(variance + 1e-5f);
    for (std::int64_t c = 0; c < n; ++c) {
      const float z = (in[c] - mean) * rstd[r];
      normalised.data[r * n + c] = z;
      y.data[r * n + c] = z * gain[c] + bias[c];
    }
  }
}

void CpuBackend::layer_norm_backward(Matrix dy, Matrix normalised, const real* rstd, const real* gain,
                                     Matrix dx, real* gain_grad, real* bias_grad, bool accumulate) {
  const std::int64_t n = dy.cols;
  if (!accumulate) std::fill_n(gain_grad, n, 0.0f), std::fill_n(bias_grad, n, 0.0f);
  for (std::int64_t r = 0; r < dy.rows; ++r) {
    const float* d = dy.data + r * n;
    const float* z = normalised.data + r * n;
    const float mean_d = lane_sum(n, [=](std::int64_t c) { return d[c] * gain[c]; }) / static_cast<float>(n);
    const float mean_dz =
        lane_sum(n, [=](std::int64_t c) { return d[c] * gain[c] * z[c]; }) / static_cast<float>(n);
    add_to_columns(d, z, gain_grad, bias_grad, n);
    layer_norm_slope(d, z, gain, dx.data + r * n, n, mean_d, mean_dz, rstd[r]);
  }
}

void CpuBackend::dropout(Matrix x, Matrix y, real* mask, real p, const RandomStream& stream,
                         std::int64_t first_row) {
  simd_.dropout_mask(mask, length(x.rows), length(x.cols), p, stream, static_cast<std::uint64_t>(first_row));
  if (y.data != x.data) std::memcpy(y.data, x.data, length(x.size()) * sizeof(float));
  simd_.multiply(y.data, mask, length(y.size()));
}

void CpuBackend::multiply(Matrix y, const real* x) { simd_.multiply(y.data, x, length(y.size())); }
void CpuBackend::add(Matrix y, const real* x) { simd_.add_f32(y.data, x, length(y.size())); }

void CpuBackend::scale(Matrix y, real factor) { simd_.scale(y.data, y.data, length(y.size()), factor); }

void CpuBackend::copy_columns(Matrix wide, std::int64_t at, Matrix narrow, bool gather) {
  for (std::int64_t r = 0; r < wide.rows; ++r) {
    float* w = wide.data + r * wide.cols + at;
    float* n = narrow.data + r * narrow.cols;
    std::memcpy(gather ? n : w, gather ? w : n, length(narrow.cols) * sizeof(float));
  }
}

void CpuBackend::embedding(Matrix ids, Matrix table, Matrix y) {
  for (std::int64_t i = 0; i < ids.size(); ++i) {
    const auto id = static_cast<std::int64_t>(ids.data[i]);
    RONDO_CHECK(id >= 0 && id < table.rows, "embedding id {} is outside 0..{}", id, table.rows - 1);
    std::memcpy(y.data + i * table.cols, table.data + id * table.cols, length(table.cols) * sizeof(float));
  }
}

void CpuBackend::embedding_backward(Matrix ids, Matrix dy, Matrix table_grad, bool accumulate) {
  if (!accumulate) std::fill_n(table_grad.data, table_grad.size(), 0.0f);
  for (std::int64_t i = 0; i < ids.size(); ++i)
    simd_.add_f32(table_grad.data + static_cast<std::int64_t>(ids.data[i]) * table_grad.cols,
                  dy.data + i * table_grad.cols, length(table_grad.cols));
}

void CpuBackend::gather_taps(Matrix x, ConvShape s, Matrix taps) {
  const std::size_t bytes = length(s.channels) * sizeof(float);
  float* to = taps.data;
  for (std::int64_t b = 0; b < s.batch; ++b)
    for (std::int64_t t = 0; t < s.time; ++t)
      for (std::int64_t k = 0; k < s.taps; ++k, to += s.channels) {
        const std::int64_t from = t - (s.taps - 1 - k) * s.dilation;
        if (from < 0)
          std::memset(to, 0, bytes);
        else
          std::memcpy(to, x.data + (b * s.time + from) * s.channels, bytes);
      }
}

void CpuBackend::scatter_taps(Matrix dtaps, ConvShape s, Matrix dx) {
  std::fill_n(dx.data, dx.size(), 0.0f);
  const float* from = dtaps.data;
  for (std::int64_t b = 0; b < s.batch; ++b)
    for (std::int64_t t = 0; t < s.time; ++t)
      for (std::int64_t k = 0; k < s.taps; ++k, from += s.channels) {
        const std::int64_t at = t - (s.taps - 1 - k) * s.dilation;
        if (at >= 0) simd_.add_f32(dx.data + (b * s.time + at) * s.channels, from, length(s.channels));
      }
}

void CpuBackend::squared_loss(Matrix prediction, Matrix target, Matrix weights, real scale, double* losses,
                              Matrix gradient) {
  for (std::int64_t r = 0; r < target.rows; ++r) {
    double loss = 0;
    for (std::int64_t h = 0; h < target.cols; ++h) {
      const std::int64_t i = r * target.cols + h;
      const float e = prediction.data[i] - target.data[i];
      loss += static_cast<double>(weights.data[i] * e * e);
      gradient.data[i] = 2 * scale * weights.data[i] * e;
    }
    losses[r] = loss;
  }
}

void CpuBackend::pinball_loss(Matrix prediction, Matrix target, Matrix weights,
                              std::span<const double> quantiles, real scale, double* losses,
                              Matrix gradient) {
  const auto q_count = static_cast<std::int64_t>(quantiles.size());
  for (std::int64_t r = 0; r < target.rows; ++r) {
    double loss = 0;
    for (std::int64_t h = 0; h < target.cols; ++h) {
      const std::int64_t i = r * target.cols + h;
      const float w = weights.data[i];
      for (std::int64_t k = 0; k < q_count; ++k) {
        const auto q = static_cast<float>(quantiles[static_cast<std::size_t>(k)]);
        const float e = target.data[i] - prediction.data[i * q_count + k];
        const float slope = q - static_cast<float>(!(e >= 0));  // no branch: errors have no foreseeable sign
        loss += static_cast<double>(w * (slope * e));
        gradient.data[i * q_count + k] = -scale * w * slope;
      }
    }
    losses[r] = loss;
  }
}

}  // namespace rondo
