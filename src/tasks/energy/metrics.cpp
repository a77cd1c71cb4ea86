#include "metrics.hpp"

#include <algorithm>
#include <cmath>

#include "energy.hpp"

namespace rondo::energy {
namespace {

// Quantiles of an untrained network may cross; a band has no negative width, nor one so thin that calibrating
// it would blow it up.
double least_distance(const Forecast& f) { return 1e-3 * std::abs(f.middle); }

double pinball(double q, double forecast, double actual) {
  const double e = actual - forecast;
  return std::max(q * e, (q - 1) * e);
}

}  // namespace

Metrics score(std::span<const Forecast> forecasts, const std::string& prefix) {
  double error = 0, loss = 0, inside = 0;
  for (const Forecast& f : forecasts) {
    error += std::abs(f.middle - f.actual) / std::abs(f.actual);
    loss += pinball(0.1, f.low, f.actual) + pinball(0.5, f.middle, f.actual) + pinball(0.9, f.high, f.actual);
    inside += f.actual >= f.low && f.actual <= f.high;
  }
  const auto n = static_cast<double>(forecasts.size());
  return {{prefix + "mape", 100 * error / n},
          {prefix + "pinball", loss / n / 3},
          {prefix + "coverage", 100 * inside / n}};
}

double quantile(std::vector<double>& values, double q) {
  if (values.empty()) return 0;
  const double at = q * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  std::ranges::sort(values);
  const double next = values[std::min(below + 1, values.size() - 1)];
  return values[below] + (at - static_cast<double>(below)) * (next - values[below]);
}

Forecast Band::apply(Forecast f) const {
  return {f.middle - below * std::max(f.middle - f.low, least_distance(f)), f.middle,
          f.middle + above * std::max(f.high - f.middle, least_distance(f)), f.actual};
}

Band calibrated(std::span<const Forecast> forecasts, std::int64_t independent) {
  const auto n = static_cast<double>(independent);
  const double level = std::min(1.0, 0.9 * (n + 1) / n);
  std::vector<double> low, high;
  for (const Forecast& f : forecasts) {
    low.push_back((f.middle - f.actual) / std::max(f.middle - f.low, least_distance(f)));
    high.push_back((f.actual - f.middle) / std::max(f.high - f.middle, least_distance(f)));
  }
  return {std::max(0.0, quantile(low, level)), std::max(0.0, quantile(high, level))};
}

}  // namespace rondo::energy
