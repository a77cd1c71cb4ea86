// Forecasts from a user's file to a user's file.
#pragma once

#include "features.hpp"
#include "metrics.hpp"

namespace rondo::energy {

/// What the trained model consists of beside its network.
struct Trained {
  const Options& options;
  const SeriesSchema& schema;
  const Statistics& statistics;
  Band band;
};

/// With known-ahead columns the last `horizon` rows of `input` are forecast (their target is ignored and may
/// be empty); without, the rows after its end. Writes times, quantiles and the unit to .csv or .h5.
void write_forecast(const Trained& trained, const std::string& input, const std::string& output,
                    const Task::Run& run);

}  // namespace rondo::energy
