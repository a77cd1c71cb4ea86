#include "run_checkpoints.hpp"

#include <filesystem>

#include "rondo/core/error.hpp"
#include "rondo/core/log.hpp"
#include "rondo/core/version.hpp"
#include "rondo/io/checkpoint.hpp"

namespace rondo {
namespace {
constexpr double kDiskTimeout = 600;  // seconds to wait for a checkpoint's disk
}  // namespace

RunCheckpoints::RunCheckpoints(const TrainCommand& command, const RunDirectory& directory, RunConfig& config,
                               Communicator& comm, std::string numerics)
    : command_(command),
      directory_(directory),
      config_(config),
      comm_(comm),
      numerics_(std::move(numerics)) {}

void RunCheckpoints::keep_decisions(TaskFactory factory) {
  const std::string resolved =
      comm_.gather_texts(comm_.rank() == 0 ? directory_.read_config() : "")[0];  // rank 0 reads for all
  if (resolved.empty() || config_.exchange.compression != "auto") return;
  config_.exchange.compression =
      read_config(ConfigReader::from_text(resolved, directory_.path() + "/config.toml"), factory)
          .exchange.compression;
}

// Rank 0 chooses, all read.
std::string RunCheckpoints::chosen() const {
  std::string path;
  together(comm_, [&] {
    if (comm_.rank() != 0) return;
    const CheckpointFolder folder(directory_.checkpoints());
    const auto found = folder.newest_good([](const std::string& line) { warn(line); });
    if (found)
      path = found->path;
    else if (!folder.list().empty() || std::filesystem::exists(folder.best_path()))
      input_error("{}: none of the checkpoints is good; to begin anew, give another --run-dir",
                  folder.path());
  });
  return comm_.gather_texts(path)[0];
}

void RunCheckpoints::resume(Trainer& trainer, TaskFactory factory) {
  const std::string path = chosen();
  if (path.empty()) return;
  together(comm_, [&] {
    const Snapshot snapshot = read_checkpoint(path);
    RunConfig stored = read_config(ConfigReader::from_text(snapshot.text("config"), path), factory);
    require_same_bits(stored, config_, command_.config);
    const std::string& then = snapshot.text("numerics");
    if (then != numerics_ && !command_.accept_numerics)
      input_error(
          "{}: was computed with \"{}\", this machine has \"{}\": the weights would differ from an "
          "uninterrupted run; add --accept-numerics to go on all the same",
          path, then, numerics_);
    history_ = snapshot.text("numerics_history");
    if (then != numerics_)
      history_ += fmt::format("until step {}: {}\n", snapshot.integer("train/steps_done"), then);
    LoadVisitor load(snapshot);
    trainer.visit(load);
    load.scalar("train/best_score", best_score_);
  });
  say(fmt::format("resumed from {} at step {}", path, trainer.steps_done()));
}

void RunCheckpoints::begin_writing() {
  writer_ = std::make_unique<BackgroundWriter>(CheckpointFolder(directory_.checkpoints()),
                                               static_cast<int>(config_.checkpoint.keep),
                                               fmt::format("from{}", comm_.seat()), kDiskTimeout);
}

void RunCheckpoints::write(Trainer& trainer, bool best) {
  trainer.collect();
  if (comm_.rank() != 0) return;
  writer_->wait();  // before the copy: one snapshot in memory is enough
  Snapshot snapshot;
  SaveVisitor save(snapshot);
  trainer.visit(save);
  save.scalar("train/best_score", best_score_);
  snapshot.scalars["config"] = config_.toml();
  snapshot.scalars["numerics"] = numerics_;
  snapshot.scalars["numerics_history"] = history_;
  snapshot.scalars["build"] = build_info();
  snapshot.scalars["ranks"] = static_cast<std::int64_t>(comm_.size());
  writer_->wait();  // so that this checkpoint is not blamed for the one before
  if (const std::string problem = writer_->take_error(); !problem.empty()) warn(problem);
  writer_->submit(trainer.steps_done(), std::move(snapshot), best);
}

void RunCheckpoints::finish() {
  together(comm_, [&] {
    if (writer_ == nullptr) return;
    writer_->wait();
    if (const std::string problem = writer_->take_error(); !problem.empty())
      input_error("the last checkpoint was not written: {}; earlier ones are kept, mend it and add --resume",
                  problem);
  });
}

}  // namespace rondo
