/// What the checkpoints of a run hold, who writes them, and how a run goes on from one.
#pragma once

#include <limits>
#include <memory>
#include <string>

#include "rondo/io/checkpoint_folder.hpp"
#include "rondo/train/run_directory.hpp"
#include "rondo/train/session.hpp"

namespace rondo {

class RunCheckpoints {
 public:
  /// `numerics`: the fingerprint that all ranks have. All else must outlive this.
  RunCheckpoints(const TrainCommand& command, const RunDirectory& directory, RunConfig& config,
                 Communicator& comm, std::string numerics);

  /// What was "auto" when the run began and changes the weights stays as it was decided then. Collective.
  void keep_decisions(TaskFactory factory);
  /// Goes on from the newest good checkpoint, if there is one. Collective. InputError where there are
  /// checkpoints but none is good, or where going on would not give the bits of an uninterrupted run.
  void resume(Trainer& trainer, TaskFactory factory);

  /// On rank 0, which writes.
  void begin_writing();
  bool writing() const { return writer_ != nullptr; }
  /// Whether the background thread of this rank is at work.
  bool busy() const { return writer_ != nullptr && writer_->busy(); }
  /// Collects the state of all ranks and hands it to the background thread of rank 0. Collective. What went
  /// wrong with the checkpoint before is a warning.
  void write(Trainer& trainer, bool best);
  /// Waits until the last one is on the disk. Collective. InputError where it could not be written.
  void finish();

  /// Of the validations so far; checkpoints hold it.
  double& best_score() { return best_score_; }

 private:
  std::string chosen() const;

  const TrainCommand& command_;
  const RunDirectory& directory_;
  RunConfig& config_;
  Communicator& comm_;
  std::string numerics_, history_;
  double best_score_ = std::numeric_limits<double>::infinity();
  std::unique_ptr<BackgroundWriter> writer_;
};

}  // namespace rondo
