/// Measures training steps by phase: `rondo bench step`.
#pragma once

#include <string>
#include <vector>

#include "rondo/core/trace.hpp"
#include "rondo/train/trainer.hpp"

namespace rondo {

struct StepBench {
  std::string config;
  std::vector<std::string> overrides;
  std::vector<std::string> against;  ///< overrides of a second way to train, measured in alternation
  bool alone = false;                ///< the second way: rank 0 alone with its share of the batch
  std::int64_t steps = 200;          ///< to measure of each way
  double seconds = 0;  ///< or, if more than 0: about so long, in shorter turns where steps are long
};

/// One way to train, as this rank saw it.
struct StepFigures {
  std::int64_t samples = 0;      ///< of a global batch
  std::int64_t values = 0;       ///< parameters
  double flops = 0;              ///< of a global batch, products only
  double peak_flops = 0;         ///< per second, of all ranks' devices; 0: not known
  std::vector<StepTimes> times;  ///< one a step
  std::vector<double> wall;      ///< whole steps
  std::vector<double> blocks;    ///< median step of every block of steps
  std::vector<Span> spans;       ///< of the last steps of the first way
};

/// Trains without writing anything and gives the figures of each way, one or two. Two ways take turns of a
/// block of steps, within one process: whole runs differ by more than what is to be compared. Collective;
/// the second way is empty on ranks that have no part in it.
std::vector<StepFigures> bench_step(const StepBench& bench, Communicator& comm, TaskFactory factory);

/// The median of `values`, and limits that hold it with about 95 % confidence whatever the distribution
/// (order statistics: Conover, "Practical nonparametric statistics", 1999, section 3.2).
struct MedianWithLimits {
  double median = 0, low = 0, high = 0;
};
MedianWithLimits median_with_limits(std::vector<double> values);
/// Time of a step of `a` over that of `b`, from neighbouring turns: whatever else the machine did hit both.
MedianWithLimits step_ratio(const StepFigures& a, const StepFigures& b);

}  // namespace rondo
