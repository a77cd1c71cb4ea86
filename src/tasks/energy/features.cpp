#include "features.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "rondo/core/error.hpp"

namespace rondo::energy {
namespace {

constexpr double kHistorySpread = 0.15;  // brings the relative history to the order of 1
constexpr int kHarmonics = 3;

std::int64_t pieces(std::int64_t rows, std::int64_t stride) { return (rows + stride - 1) / stride; }

// The known column with a comfortable range, or -1.
int hinge_of(const Options& options, const SeriesSchema& schema) {
  if (options.hinge_column.empty()) return -1;
  const auto found = std::ranges::find(schema.known, options.hinge_column);
  if (found == schema.known.end())
    input_error("energy.hinge_column = \"{}\": no such column in data.known = [{}]", options.hinge_column,
                fmt::join(schema.known, ", "));
  return static_cast<int>(found - schema.known.begin());
}

}  // namespace

Features::Features(const Options& options, const SeriesSchema& schema, const Series& series,
                   const Statistics& statistics)
    : options_(options),
      series_(series),
      statistics_(statistics),
      known_(schema.known.size()),
      hinge_(hinge_of(options, schema)) {}

Statistics Features::measure(const Series& series, std::size_t known, std::int64_t rows) {
  Statistics statistics;
  std::vector<double> piece(4096);
  for (std::size_t c = 1; c <= known; ++c) {  // column 0 is the target
    double sum = 0, squares = 0;
    for (int pass = 0; pass < 2; ++pass) {
      const double mean = sum / static_cast<double>(rows);
      for (std::int64_t at = 0; at < rows; at += 4096) {
        const std::span<double> out(piece.data(),
                                    static_cast<std::size_t>(std::min<std::int64_t>(4096, rows - at)));
        series.read(c, at, out);
        for (const double x : out) pass == 0 ? sum += x : squares += (x - mean) * (x - mean);
      }
    }
    statistics.mean.push_back(sum / static_cast<double>(rows));
    statistics.deviation.push_back(std::max(1e-6, std::sqrt(squares / static_cast<double>(rows))));
  }
  return statistics;
}

std::int64_t Features::size(const Options& options, const SeriesSchema& schema) {
  std::int64_t n = options.history + 4 * kHarmonics;
  for (std::size_t c = 0; c < schema.known.size(); ++c)
    n += pieces(options.horizon, options.stride(options.future_stride, c)) +
         pieces(options.history, options.stride(options.past_stride, c));
  return n + (hinge_of(options, schema) >= 0 ? 2 * options.horizon : 0);
}

double Features::level(std::int64_t t) const {
  std::vector<double> past(static_cast<std::size_t>(options_.history));
  series_.read(0, t - options_.history, std::span(past));
  return std::accumulate(past.begin(), past.end(), 0.0) / static_cast<double>(past.size());
}

double Features::input(std::int64_t t, std::span<float> out) const {
  std::size_t at = 0;
  const auto put = [&](double x) { out[at++] = static_cast<float>(x); };
  std::vector<double> values(static_cast<std::size_t>(options_.history));
  series_.read(0, t - options_.history, std::span(values));
  const double level =
      std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  for (const double y : values) put((y / level - 1) / kHistorySpread);

  values.resize(static_cast<std::size_t>(options_.history + options_.horizon));
  const auto now = static_cast<std::size_t>(options_.history);
  for (std::size_t c = 0; c < known_; ++c) {
    series_.read(c + 1, t - options_.history, std::span(values));
    const double mean = statistics_.mean[c], deviation = statistics_.deviation[c];
    const auto ahead = static_cast<std::size_t>(options_.stride(options_.future_stride, c));
    for (std::size_t i = now; i < values.size(); i += ahead) put((values[i] - mean) / deviation);
    const auto back = static_cast<std::size_t>(options_.stride(options_.past_stride, c));
    for (std::size_t i = 0; i < now; i += back) {
      const std::size_t end = std::min(i + back, now);
      const double sum = std::accumulate(values.begin() + static_cast<std::ptrdiff_t>(i),
                                         values.begin() + static_cast<std::ptrdiff_t>(end), 0.0);
      put((sum / static_cast<double>(end - i) - mean) / deviation);
    }
    if (static_cast<int>(c) != hinge_) continue;
    for (std::size_t i = now; i < values.size(); ++i)
      put(std::max(values[i] - options_.hinge_above, 0.0) / deviation);
    for (std::size_t i = now; i < values.size(); ++i)
      put(std::max(options_.hinge_below - values[i], 0.0) / deviation);
  }

  const std::int64_t row_of_week =
      (series_.time(t) / series_.step_seconds() + 3 * options_.day) % options_.week();
  for (const std::int64_t period : {options_.day, options_.week()})
    for (int k = 1; k <= kHarmonics; ++k) {
      const double angle =
          2 * std::numbers::pi * k * static_cast<double>(row_of_week % period) / static_cast<double>(period);
      put(std::sin(angle));
      put(std::cos(angle));
    }
  return level;
}

void Features::target(std::int64_t t, double level, std::span<float> target, std::span<float> weight) const {
  std::vector<double> values(static_cast<std::size_t>(options_.horizon));
  series_.read(0, t, std::span(values));
  for (std::size_t h = 0; h < values.size(); ++h) {
    target[h] = static_cast<float>((values[h] / level - 1) / kSpread);
    weight[h] = static_cast<float>(level / values[h]);  // errors count relative to the value, as in MAPE
  }
}

}  // namespace rondo::energy
