// Scores of quantile forecasts, and the calibration of their band.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "rondo/train/task.hpp"

namespace rondo::energy {

/// Quantiles 0.1, 0.5, 0.9 of one value, and what came.
struct Forecast {
  double low, middle, high, actual;
};

/// MAPE of the median in %, mean pinball loss over the quantiles in the data's unit, coverage of the 80 %
/// band in %. Names get `prefix` in front.
Metrics score(std::span<const Forecast> forecasts, const std::string& prefix);

/// Factors by which the distances from the median to both quantiles are multiplied so that a tenth of
/// `forecasts` lies beyond each: split conformal calibration (Romano, Patterson and Candes, "Conformalized
/// quantile regression", 2019) in its multiplicative form, with its correction for a finite sample of n,
/// 0.9 (n + 1) / n. n counts independent forecasts: the errors of one forecast's rows go together.
struct Band {
  double below = 1, above = 1;
  Forecast apply(Forecast f) const;
};
Band calibrated(std::span<const Forecast> forecasts, std::int64_t independent);

/// The q-quantile of values, linear between neighbours. Reorders them.
double quantile(std::vector<double>& values, double q);

}  // namespace rondo::energy
