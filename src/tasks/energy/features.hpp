// What a network sees at an origin t (the first row to forecast), and what it is asked for.
#pragma once

#include <span>
#include <vector>

#include "energy.hpp"
#include "rondo/data/series.hpp"

namespace rondo::energy {

/// Mean and deviation of each known column over the training rows: part of the model.
struct Statistics {
  std::vector<double> mean, deviation;
};

class Features {
 public:
  Features(const Options& options, const SeriesSchema& schema, const Series& series,
           const Statistics& statistics);

  /// Statistics over rows [0, rows), read piece by piece.
  static Statistics measure(const Series& series, std::size_t known, std::int64_t rows);

  /// Values of an input, in this order: the target's last `history` rows relative to their mean; per known
  /// column its standardised future and means over its past; heating and cooling degrees ahead; sines and
  /// cosines of the time of day and of the week.
  static std::int64_t size(const Options& options, const SeriesSchema& schema);
  /// Writes the input at origin t; rows [t - history, t + horizon) of known columns must exist, and rows
  /// before t of the target. Returns the level: the mean of the target's history.
  double input(std::int64_t t, std::span<float> out) const;
  /// The network's numbers are relative: value = level * (1 + kSpread * number).
  static constexpr double kSpread = 0.1;
  void target(std::int64_t t, double level, std::span<float> target, std::span<float> weight) const;
  double level(std::int64_t t) const;

 private:
  const Options& options_;
  const Series& series_;
  const Statistics& statistics_;
  std::size_t known_;
  int hinge_;  // known column, or -1
};

}  // namespace rondo::energy
