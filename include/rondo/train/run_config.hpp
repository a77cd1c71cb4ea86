/// The whole configuration of a run.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "rondo/device/backend.hpp"
#include "rondo/exchange/exchange.hpp"
#include "rondo/nn/model.hpp"
#include "rondo/optim/optimizer.hpp"
#include "rondo/survive/roster.hpp"
#include "rondo/survive/watchdog.hpp"
#include "rondo/train/agreement.hpp"
#include "rondo/train/task.hpp"

namespace rondo {

struct TrainOptions {
  std::int64_t max_steps = 1000;
  std::int64_t global_batch = 256;
  std::int64_t micro_batches = 4;
  std::int64_t seed = 1;
  std::string precision = "float32";
  std::int64_t eval_every = 0;  ///< steps between evaluations on the validation split; 0: only at the end
  std::int64_t log_every = 50;
  bool balance = true;  ///< slow ranks get fewer micro-batches
  void visit(Fields& fields);
};

struct CheckpointOptions {
  std::int64_t every_steps = 0;  ///< 0: only at the end
  std::int64_t keep = 3;
  void visit(Fields& fields);
};

struct RunConfig {
  std::string task_kind = "energy";
  TrainOptions train;
  ModelOptions model;
  OptimizerOptions optimizer;
  ExchangeOptions exchange;
  DeviceOptions device;
  CheckpointOptions checkpoint;
  WatchdogOptions watchdog;
  AgreementOptions agreement;
  SpareOptions spares;
  std::unique_ptr<Task> task;

  void visit(Fields& fields);  ///< all of it, the task's fields too
  std::string toml();          ///< resolved: every field with its value
};

/// Reads and checks a configuration; nothing is opened yet. `reader` is finished by it.
RunConfig read_config(ConfigReader reader, TaskFactory factory);

/// `train.precision`, or InputError where the device cannot multiply so.
Precision require_precision(const TrainOptions& train, Backend& backend);
/// The same for predictions, which may be made elsewhere: float32, and a line that says so, where it cannot.
void settle_for_float32(TrainOptions& train, Backend& backend);

/// Throws InputError naming the first field that changes the weights and differs between the two.
void require_same_bits(RunConfig& stored, RunConfig& given, const std::string& where);

}  // namespace rondo
