#include "reference_ops.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numbers>

namespace rondo::reference {

double from_bfloat16(std::uint16_t half) { return std::bit_cast<float>(std::uint32_t{half} << 16); }

std::uint16_t to_bfloat16(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t kept = bits >> 16, lost = bits & 0xffff;
  if (std::isnan(x)) return static_cast<std::uint16_t>(kept | 0x40);
  const bool up = lost > 0x8000 || (lost == 0x8000 && kept % 2 == 1);
  return static_cast<std::uint16_t>(kept + (up ? 1 : 0));
}

double from_float16(std::uint16_t half) {
  const int exponent = half >> 10 & 31, fraction = half & 1023;
  const double size = exponent == 31  ? (fraction == 0 ? INFINITY : std::nan(""))
                      : exponent == 0 ? std::ldexp(fraction, -24)
                                      : std::ldexp(1024 + fraction, exponent - 25);
  return half & 0x8000 ? -size : size;
}

std::uint16_t to_float16(float x) {
  const auto sign = static_cast<std::uint16_t>(std::signbit(x) ? 0x8000 : 0);
  if (std::isnan(x)) return 0x7fff;
  const double size = std::fabs(static_cast<double>(x));
  if (size >= 65520) return sign | 0x7c00;  // half a unit beyond the largest, and its fraction is odd
  const int exponent = size < 0x1p-14 ? -14 : std::ilogb(size);
  const auto units = static_cast<int>(std::nearbyint(std::ldexp(size, 10 - exponent)));
  return static_cast<std::uint16_t>(sign + ((exponent + 14) << 10) + units);
}

ValueSlope activate(Activation act, double z) {
  switch (act) {
    case Activation::identity:
      return {z, 1};
    case Activation::relu:
      return {std::isnan(z) ? z : std::fmax(z, 0.0), z > 0 ? 1.0 : 0.0};
    case Activation::gelu: {
      const double cdf = 0.5 * std::erfc(-z / std::numbers::sqrt2);
      const double density = std::exp(-0.5 * z * z) / std::sqrt(2 * std::numbers::pi);
      return {z * cdf, cdf + z * density};
    }
    case Activation::silu: {
      const double s = 1 / (1 + std::exp(-z));
      return {z * s, s + z * s * (1 - s)};
    }
  }
  return {};
}

void matmul(Mat a, bool transpose_a, Mat b, bool transpose_b, Mat c, bool accumulate) {
  const std::int64_t inner = transpose_a ? a.rows : a.cols;
  for (std::int64_t i = 0; i < c.rows; ++i)
    for (std::int64_t j = 0; j < c.cols; ++j) {
      double sum = accumulate ? c(i, j) : 0;
      for (std::int64_t k = 0; k < inner; ++k)
        sum += (transpose_a ? a(k, i) : a(i, k)) * (transpose_b ? b(j, k) : b(k, j));
      c(i, j) = sum;
    }
}

void bias_activation(Mat y, const double* bias, Activation act, double* slope) {
  for (std::int64_t r = 0; r < y.rows; ++r)
    for (std::int64_t c = 0; c < y.cols; ++c) {
      const ValueSlope v = activate(act, y(r, c) + bias[c]);
      y(r, c) = v.value;
      if (slope != nullptr) slope[r * y.cols + c] = v.slope;
    }
}

void activation_backward(Mat dy, const double* slope, double* bias_grad, bool accumulate) {
  for (std::int64_t c = 0; c < dy.cols; ++c) {
    double sum = accumulate ? bias_grad[c] : 0;
    for (std::int64_t r = 0; r < dy.rows; ++r) {
      if (slope != nullptr) dy(r, c) *= slope[r * dy.cols + c];
      sum += dy(r, c);
    }
    bias_grad[c] = sum;
  }
}

void layer_norm(Mat x, const double* gain, const double* bias, Mat y, Mat normalised, double* rstd) {
  const auto n = static_cast<double>(x.cols);
  for (std::int64_t r = 0; r < x.rows; ++r) {
    double mean = 0, variance = 0;
    for (std::int64_t c = 0; c < x.cols; ++c) mean += x(r, c) / n;
    for (std::int64_t c = 0; c < x.cols; ++c) variance += (x(r, c) - mean) * (x(r, c) - mean) / n;
    rstd[r] = 1 / std::sqrt(variance + 1e-5);
    for (std::int64_t c = 0; c < x.cols; ++c) {
      normalised(r, c) = (x(r, c) - mean) * rstd[r];
      y(r, c) = normalised(r, c) * gain[c] + bias[c];
    }
  }
}

// With z = (x - mean) rstd and e = dy gain: dz_j / dx_i = rstd (delta_ij - 1/n - z_i z_j / n), so
// dx_i = rstd (e_i - mean(e) - z_i mean(e z)).
void layer_norm_backward(Mat dy, Mat normalised, const double* rstd, const double* gain, Mat dx,
                         double* gain_grad, double* bias_grad, bool accumulate) {
  const auto n = static_cast<double>(dy.cols);
  if (!accumulate) std::fill_n(gain_grad, dy.cols, 0.0), std::fill_n(bias_grad, dy.cols, 0.0);
  for (std::int64_t r = 0; r < dy.rows; ++r) {
    double mean_e = 0, mean_ez = 0;
    for (std::int64_t c = 0; c < dy.cols; ++c) {
      mean_e += dy(r, c) * gain[c] / n;
      mean_ez += dy(r, c) * gain[c] * normalised(r, c) / n;
      gain_grad[c] += dy(r, c) * normalised(r, c);
      bias_grad[c] += dy(r, c);
    }
    for (std::int64_t c = 0; c < dy.cols; ++c)
      dx(r, c) = rstd[r] * (dy(r, c) * gain[c] - mean_e - normalised(r, c) * mean_ez);
  }
}

// Zero where the upper 24 bits of the element's word are below p * 2^24. A row begins on a block of 4 words.
void dropout_mask(Mat mask, double p, const RandomStream& stream, std::int64_t first_row) {
  const std::int64_t words_per_row = (mask.cols + 3) / 4 * 4;
  const auto threshold = static_cast<std::uint32_t>(std::floor(p * 0x1p24));
  for (std::int64_t r = 0; r < mask.rows; ++r)
    for (std::int64_t c = 0; c < mask.cols; ++c) {
      const auto index = static_cast<std::uint64_t>((first_row + r) * words_per_row + c);
      mask(r, c) = (stream.word(index) >> 8) < threshold ? 0 : 1 / (1 - p);
    }
}

void copy_columns(Mat wide, std::int64_t at, Mat narrow, bool gather) {
  for (std::int64_t r = 0; r < wide.rows; ++r)
    for (std::int64_t c = 0; c < narrow.cols; ++c)
      if (gather)
        narrow(r, c) = wide(r, at + c);
      else
        wide(r, at + c) = narrow(r, c);
}

void embedding(Mat ids, Mat table, Mat y) {
  for (std::int64_t r = 0; r < ids.rows; ++r)
    for (std::int64_t i = 0; i < ids.cols; ++i)
      for (std::int64_t d = 0; d < table.cols; ++d)
        y(r, i * table.cols + d) = table(std::llround(ids(r, i)), d);
}

void embedding_backward(Mat ids, Mat dy, Mat table_grad, bool accumulate) {
  if (!accumulate) std::fill_n(table_grad.data, table_grad.size(), 0.0);
  for (std::int64_t r = 0; r < ids.rows; ++r)
    for (std::int64_t i = 0; i < ids.cols; ++i)
      for (std::int64_t d = 0; d < table_grad.cols; ++d)
        table_grad(std::llround(ids(r, i)), d) += dy(r, i * table_grad.cols + d);
}

namespace {

// Calls f(row of x, row and first column of taps) for every tap that lies within the sequence.
template <class F>
void for_each_tap(ConvShape s, F f) {
  for (std::int64_t b = 0; b < s.batch; ++b)
    for (std::int64_t t = 0; t < s.time; ++t)
      for (std::int64_t k = 0; k < s.taps; ++k) {
        const std::int64_t then = t - (s.taps - 1 - k) * s.dilation;
        if (then >= 0) f(b * s.time + then, b * s.time + t, k * s.channels);
      }
}

}  // namespace

void gather_taps(Mat x, ConvShape s, Mat taps) {
  std::fill_n(taps.data, taps.size(), 0.0);
  for_each_tap(s, [&](std::int64_t from, std::int64_t row, std::int64_t col) {
    for (std::int64_t c = 0; c < s.channels; ++c) taps(row, col + c) = x(from, c);
  });
}

void scatter_taps(Mat dtaps, ConvShape s, Mat dx) {
  std::fill_n(dx.data, dx.size(), 0.0);
  for_each_tap(s, [&](std::int64_t to, std::int64_t row, std::int64_t col) {
    for (std::int64_t c = 0; c < s.channels; ++c) dx(to, c) += dtaps(row, col + c);
  });
}

void squared_loss(Mat prediction, Mat target, Mat weights, double scale, double* losses, Mat gradient) {
  for (std::int64_t r = 0; r < target.rows; ++r) {
    losses[r] = 0;
    for (std::int64_t h = 0; h < target.cols; ++h) {
      const double e = prediction(r, h) - target(r, h);
      losses[r] += weights(r, h) * e * e;
      gradient(r, h) = scale * weights(r, h) * 2 * e;
    }
  }
}

void pinball_loss(Mat prediction, Mat target, Mat weights, std::span<const double> quantiles, double scale,
                  double* losses, Mat gradient) {
  for (std::int64_t r = 0; r < target.rows; ++r) {
    losses[r] = 0;
    for (std::int64_t h = 0, c = 0; h < target.cols; ++h)
      for (const double q : quantiles) {
        const double e = target(r, h) - prediction(r, c);
        losses[r] += weights(r, h) * std::max(q * e, (q - 1) * e);
        gradient(r, c++) = scale * weights(r, h) * (e >= 0 ? -q : 1 - q);
      }
  }
}

std::int32_t to_fixed(float g, float scale) {
  const double x = std::nearbyint(static_cast<double>(g) * scale);
  return x >= -0x1p31 && x < 0x1p31 ? static_cast<std::int32_t>(x) : std::numeric_limits<std::int32_t>::min();
}

std::uint32_t checksum(std::span<const std::uint32_t> q) {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < q.size(); ++i) {
    const std::int64_t value = static_cast<std::int32_t>(q[i]), weight = static_cast<std::int64_t>(2 * i + 1);
    sum = (sum + value * weight) % kChecksumPrime;
  }
  return static_cast<std::uint32_t>((sum + kChecksumPrime) % kChecksumPrime);
}

std::uint32_t seal(std::span<const std::uint32_t> q) {
  std::int64_t sum = 0;
  for (std::uint32_t i = 0; i < q.size(); ++i)
    sum += std::int64_t{seal_weight(2 * i)} * static_cast<std::int16_t>(q[i] & 0xffff) +
           std::int64_t{seal_weight(2 * i + 1)} * static_cast<std::int16_t>(q[i] >> 16);
  return static_cast<std::uint32_t>(sum);
}

std::uint32_t magnitude_bits(float g) { return std::bit_cast<std::uint32_t>(std::fabs(g)); }

std::vector<double> scaled(GradientView g, std::int64_t blocks) {
  std::vector<double> values(static_cast<std::size_t>(blocks * kBlock));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double value = g.fixed != nullptr ? static_cast<double>(static_cast<std::int32_t>(g.fixed[i]))
                                            : static_cast<double>(g.values[i]);
    values[i] = value * static_cast<double>(g.block_scale[i / kBlock]);
  }
  return values;
}

void block_squares(std::span<const double> g, double* squares) {
  std::fill_n(squares, g.size() / kBlock, 0.0);
  for (std::size_t i = 0; i < g.size(); ++i) squares[i / kBlock] += g[i] * g[i];
}

void adamw(double* w, double* m, double* v, std::span<const double> g, const float* block_decay,
           const AdamWStep& s) {
  const double beta1 = s.beta1, beta2 = s.beta2, rate = s.learning_rate;
  for (std::size_t i = 0; i < g.size(); ++i) {
    m[i] = beta1 * m[i] + (1 - beta1) * g[i];
    v[i] = beta2 * v[i] + (1 - beta2) * g[i] * g[i];
    const double decay = static_cast<double>(s.weight_decay) * static_cast<double>(block_decay[i / kBlock]);
    const double step = m[i] * s.correction1 / (std::sqrt(v[i] * s.correction2) + s.epsilon);
    w[i] -= rate * (step + decay * w[i]);
  }
}

void sgd(double* w, double* momentum, std::span<const double> g, const float* block_decay, double rate,
         double beta, double decay) {
  for (std::size_t i = 0; i < g.size(); ++i) {
    momentum[i] = beta * momentum[i] + g[i] + decay * static_cast<double>(block_decay[i / kBlock]) * w[i];
    w[i] -= rate * momentum[i];
  }
}

void average(double* average, const double* w, std::int64_t n, double decay) {
  for (std::int64_t i = 0; i < n; ++i) average[i] = decay * average[i] + (1 - decay) * w[i];
}

}  // namespace rondo::reference
