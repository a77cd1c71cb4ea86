/// What a run tells of itself: the lines of metrics.jsonl, by rank 0, and for how long training stood still.
#pragma once

#include "rondo/core/clock.hpp"
#include "rondo/train/run_directory.hpp"
#include "rondo/train/task.hpp"
#include "rondo/train/trainer.hpp"

namespace rondo {

class RunMetrics {
 public:
  RunMetrics(const RunDirectory& directory, Communicator& comm) : directory_(directory), comm_(comm) {}

  /// A line for the step that has brought the steps done to `steps`.
  void step(std::int64_t steps, const StepResult& result, double samples_per_s);
  void evaluation(std::int64_t steps, const char* split, const Metrics& metrics);

  /// Training has stood still. The next line of a step tells for how long since the one before.
  enum Pause { kChecking, kCheckpoint };
  void paused(Pause what, double seconds);
  /// How often, how long on average, and which share of the time since this object was made.
  std::string pauses() const;

 private:
  struct Pauses {
    int times = 0;
    double all_s = 0, untold_s = 0;
  };

  const RunDirectory& directory_;
  Communicator& comm_;
  Pauses pauses_[2];
  double began_ = now_s(), told_ = began_;
};

}  // namespace rondo
