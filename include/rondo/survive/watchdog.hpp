/// A thread beside the one that trains: writes this rank's heartbeats and turns a hang into a death, which
/// mpirun, `rondo launch` or Slurm can handle. It never calls MPI; the training thread pays one store a
/// phase.
///
/// Every phase has a limit: max(floor, 20 times what it usually takes). What is usual is sampled ten times a
/// second: the greatest duration, slowly forgotten. Ten floors have phases that wait for disks, and each one
/// until it has been passed once. Time in which the whole process stood still does not count.
///
/// The ranks' heartbeats tell who is behind. After half the limit a rank logs whom it waits for. After the
/// limit whoever is furthest behind answers for itself: it logs where it is with the stack of its training
/// thread, and aborts. Others wait on, unless the laggard gives no heartbeat either (stopped, or its host is
/// gone); then they abort and name it. Where the job survives deaths they kill it instead, on its own
/// machine.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "rondo/survive/heartbeat.hpp"

namespace rondo {

struct WatchdogOptions {
  double floor_s = 30;  ///< 0: heartbeats only
  void visit(class Fields& fields);
};

class Watchdog {
 public:
  /// Made by the thread to be watched, in a run directory that this run owns. `log`: the file for stacks,
  /// also of crashes (SIGSEGV and the like), which it notes before they take their course. Under mpirun this
  /// process dies with its parent from now on.
  Watchdog(const WatchdogOptions& options, const std::string& run_directory, const std::string& log, int rank,
           int ranks);
  ~Watchdog();

  /// Training goes on from there. `evicts`: from now on others go on after the death of a rank. Heartbeats
  /// say so.
  void began_at(std::int64_t step, bool evicts);
  /// These ranks are dead; the others go on without them. Their heartbeats say so from now on.
  void lost(std::span<const int> ranks);
  /// The last word of this rank; `code`: exit code of a failure. The watchdog stays quiet afterwards.
  void end(Ending ending, int code = 0);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// What a phase takes, and when it is too long. By itself for tests.
class PhaseLimits {
 public:
  explicit PhaseLimits(double floor_s) : floor_s_(floor_s) {}
  void began_at(std::int64_t step) { first_step_ = step; }
  /// The position `was` seen for `seconds` and then another one.
  void learn(Position was, double seconds, Position now);
  double limit_s(Phase phase) const;  ///< 0: none

 private:
  struct Usual {
    double seconds = 0;
    bool passed = false;
  };
  double floor_s_;
  Usual usual_[kPhases];
  std::int64_t first_step_ = 0;
};

}  // namespace rondo
