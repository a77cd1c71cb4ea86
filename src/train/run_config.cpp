#include "rondo/train/run_config.hpp"

#include "rondo/core/error.hpp"
#include "rondo/core/log.hpp"

namespace rondo {

Split split_of(const std::string& name) {
  if (name == "train") return Split::train;
  if (name == "validation") return Split::validation;
  if (name == "test") return Split::test;
  input_error("--split {}: expected train, validation or test", name);
}

std::string Task::table(const Metrics& metrics) const {
  std::string text;
  for (const auto& [name, value] : metrics) text += fmt::format("  {:<24} {:.4f}\n", name, value);
  return text;
}

void TrainOptions::visit(Fields& f) {
  constexpr auto bits = Effect::bits, other = Effect::operational;
  f.field("train.max_steps", max_steps, {1, std::int64_t{1} << 31}, bits, "optimizer steps");
  f.field("train.global_batch", global_batch, {1, 1 << 24}, bits, "samples per step over all ranks");
  f.field("train.micro_batches", micro_batches, {1, 1 << 16}, bits,
          "logical micro-batches per step; at least the number of ranks");
  f.field("train.seed", seed, {0}, bits, "seed of initialisation, shuffling and dropout");
  f.field("train.precision", precision, "float32|tf32|bfloat16|float16", bits,
          "operands of matrix products; tf32 and float16 (with dynamic loss scaling) on GPUs");
  f.field("train.eval_every", eval_every, {0}, bits, "steps between evaluations, 0: only at the end");
  f.field("train.log_every", log_every, {1}, other, "steps between lines of the log");
  f.field("train.balance", balance, other,
          "whether slow ranks get fewer of the micro-batches, in exact arithmetic");
}

Precision require_precision(const TrainOptions& train, Backend& backend) {
  const Precision precision = precision_of(train.precision);
  if (const std::string reason = backend.why_not(precision); !reason.empty())
    input_error("train.precision = \"{}\" with device.kind = \"{}\": {}; use \"float32\"", train.precision,
                backend.name(), reason);
  return precision;
}

void settle_for_float32(TrainOptions& train, Backend& backend) {
  const std::string reason = backend.why_not(precision_of(train.precision));
  if (reason.empty()) return;
  say(fmt::format("predicts in float32, trained with train.precision = \"{}\": {}", train.precision, reason));
  train.precision = "float32";
}

void CheckpointOptions::visit(Fields& f) {
  f.field("checkpoint.every_steps", every_steps, {0}, Effect::operational,
          "steps between checkpoints, 0: at the end");
  f.field("checkpoint.keep", keep, {1, 1000}, Effect::operational,
          "newest checkpoints to keep, beside the best");
}

void RunConfig::visit(Fields& f) {
  f.field("task.kind", task_kind, "", Effect::bits, "what is learnt");
  train.visit(f);
  model.visit(f);
  optimizer.visit(f);
  exchange.visit(f);
  device.visit(f);
  checkpoint.visit(f);
  watchdog.visit(f);
  agreement.visit(f);
  spares.visit(f);
  if (task != nullptr) task->visit(f);
}

std::string RunConfig::toml() {
  ConfigWriter writer;
  visit(writer);
  return writer.toml();
}

RunConfig read_config(ConfigReader reader, TaskFactory factory) {
  RunConfig config;
  config.visit(reader);
  config.task = factory(config.task_kind);
  config.task->visit(reader);
  reader.finish();
  const TrainOptions& t = config.train;
  if (t.global_batch % t.micro_batches != 0)
    input_error("{}: train.global_batch = {} must be a multiple of train.micro_batches = {}",
                reader.where("train.global_batch"), t.global_batch, t.micro_batches);
  return config;
}

void require_same_bits(RunConfig& stored, RunConfig& given, const std::string& where) {
  ConfigWriter a, b;
  stored.visit(a);
  given.visit(b);
  for (const FieldText& was : a.fields()) {
    if (was.effect != Effect::bits || was.name == "device.kind") continue;  // kind: the fingerprint decides
    for (const FieldText& now : b.fields())
      if (now.name == was.name && now.value != was.value)
        input_error(
            "{}: {} was {} when this run began and is {} now: it changes the weights; put it back or begin "
            "a new run directory",
            where, was.name, was.value, now.value);
  }
}

}  // namespace rondo
