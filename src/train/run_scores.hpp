/// How well a run's model does, on the validation split as it goes and on the test split at its end.
#pragma once

#include "rondo/train/task.hpp"
#include "rondo/train/trainer.hpp"
#include "run_metrics.hpp"

namespace rondo {

/// All calls are collective.
class RunScores {
 public:
  /// `best`: the best score so far, which outlives this object; a better one takes its place.
  RunScores(Trainer& trainer, Task& task, RunMetrics& metrics, double& best)
      : trainer_(trainer), task_(task), metrics_(metrics), best_(best) {}

  /// Evaluates on the validation split, calibrates with it, and tells whether this is the best so far; done
  /// again, after a loss, it says the same.
  bool validate();
  void test();

 private:
  Trainer& trainer_;
  Task& task_;
  RunMetrics& metrics_;
  double& best_;
  std::int64_t best_step_ = -1;  // of this process
};

}  // namespace rondo
