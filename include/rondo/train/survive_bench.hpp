/// Measures what surviving costs where nothing happens: `rondo bench survive`.
#pragma once

#include <string>
#include <vector>

#include "rondo/comm/communicator.hpp"
#include "rondo/train/task.hpp"

namespace rondo {

struct SurviveBench {
  std::string config;
  std::vector<std::string> overrides;
  std::int64_t rounds = 100;
};

struct SurviveFigures {
  static constexpr std::int64_t kBlockSteps = 50;
  std::int64_t round_steps = 0;
  std::vector<double> with_s, without_s;  ///< of every round of so many steps
  std::vector<double> checks_s;           ///< of every comparison of the ranks' state, within with_s
};

/// Trains in one process and in turns of kBlockSteps steps: as configured, with heartbeats, watchdog and
/// comparisons of the ranks' state; and without any of them. A round is as many steps as there are from
/// one comparison to the next. What does not depend on whether a run is to survive (checksums of sums) is on
/// in both; checkpoints are written in neither. Collective; figures as this rank saw them.
SurviveFigures bench_survive(const SurviveBench& bench, Communicator& comm, TaskFactory factory);

}  // namespace rondo
