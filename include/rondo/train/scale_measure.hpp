/// Measures what scale_model.hpp needs, on the ranks of this run: `rondo bench scale`.
#pragma once

#include <string>
#include <vector>

#include "rondo/train/scale_model.hpp"
#include "rondo/train/step_bench.hpp"

namespace rondo {

struct ScaleMeasurement {
  int ranks = 0, nodes = 0;
  Machine machine = {};
  std::vector<StepProfile> profiles = {};  ///< one for each compression
  /// Steps of all ranks together as `profiles[0]`: what was measured, and what the model says.
  double measured_step = 0, predicted_step = 0;
  double check() const { return measured_step > 0 ? predicted_step / measured_step - 1 : 0; }
};

/// Times all-reduces in shared memory (on one node) and by messages, then training steps of every rank for
/// itself, once for each compression ("": as the config says), and of all together. Collective; about half
/// a minute at most. InputError for one rank, for GPUs, and for micro-batches that ranks cannot share evenly.
ScaleMeasurement measure_scale(const StepBench& bench, const std::vector<std::string>& compressions,
                               Communicator& comm, TaskFactory factory);

}  // namespace rondo
