/// A whole run: run directory, resuming, the loop over steps, evaluation, checkpoints.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "rondo/train/trainer.hpp"

namespace rondo {

struct TrainCommand {
  std::string config;
  std::string run_dir;  ///< "": runs/<name of the config>
  bool resume = false;
  bool accept_numerics = false;  ///< go on although the numerics fingerprint changed
  std::vector<std::string> overrides;
};

inline constexpr int kStoppedExitCode = 85;  ///< a run that was asked to stop and can be resumed

std::string run_dir_of(const TrainCommand& command);

/// Trains. Collective. Returns the exit code.
int run_training(const TrainCommand& command, Communicator& comm, TaskFactory factory);

/// Does local work that may fail on some ranks; if it did anywhere, every rank throws the error of the
/// lowest such rank. Collective: for all that needs no other rank while it runs.
void together(Communicator& comm, const std::function<void()>& work);

/// A configuration file with `overrides`, then with `more` of them, read on every rank. Collective.
RunConfig read_together(Communicator& comm, const std::string& file, std::vector<std::string> overrides,
                        const std::vector<std::string>& more, TaskFactory factory);

/// The numerics fingerprint of this rank, after all ranks have been found to have the same one.
std::string common_fingerprint(Backend& backend, Communicator& comm);

/// Evaluates one split: predictions by all ranks, metrics and baselines by the task. Collective.
Metrics evaluate(Trainer& trainer, const Task& task, Split split);

}  // namespace rondo
