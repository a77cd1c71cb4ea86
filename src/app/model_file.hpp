// A trained model opened from a run directory or a checkpoint, for the commands that use one.
#pragma once

#include <memory>
#include <string>

#include "rondo/comm/communicator.hpp"
#include "rondo/train/trainer.hpp"

namespace rondo {

struct OpenModel {
  std::string path;  ///< of the checkpoint
  Snapshot snapshot;
  RunConfig config;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Trainer> trainer;
};

/// Reads the checkpoint, opens the task's data and restores the model. Collective.
std::unique_ptr<OpenModel> open_model(const std::string& run_or_checkpoint,
                                      const std::vector<std::string>& overrides, Communicator& comm);

}  // namespace rondo
