/// Measures training steps by phase: `rondo bench step`.
#pragma once

#include <string>
#include <vector>

#include "rondo/train/trainer.hpp"

namespace rondo {

struct StepBench {
  std::string config;
  std::vector<std::string> overrides;
  std::int64_t steps = 200;  ///< measured, after a tenth of them to warm up
};

struct StepFigures {
  std::int64_t samples = 0;      ///< of a global batch
  double flops = 0;              ///< of a global batch, products only
  std::vector<StepTimes> times;  ///< of this rank, one a step
  std::vector<double> wall;      ///< whole steps
};

/// Trains without writing anything. Collective.
StepFigures bench_step(const StepBench& bench, Communicator& comm, TaskFactory factory);

}  // namespace rondo
