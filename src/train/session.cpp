#include "rondo/train/session.hpp"

#include <sys/resource.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <optional>

#include "rondo/core/clock.hpp"
#include "rondo/core/error.hpp"
#include "rondo/core/log.hpp"
#include "rondo/core/phase.hpp"
#include "rondo/core/version.hpp"
#include "rondo/io/checkpoint.hpp"
#include "rondo/io/checkpoint_folder.hpp"
#include "rondo/survive/chaos.hpp"
#include "rondo/survive/watchdog.hpp"
#include "rondo/train/compression_choice.hpp"
#include "rondo/train/run_directory.hpp"
#include "rondo/train/signals.hpp"

namespace rondo {
namespace {

constexpr double kDataTimeout = 600;  // seconds to wait for a sample, or for a checkpoint's disk
constexpr double kSameRequest = 1;    // seconds within which the ranks' wishes for a checkpoint are one

class Session {
 public:
  Session(const TrainCommand& command, Communicator& comm, TaskFactory factory)
      : command_(command), comm_(comm), factory_(factory), directory_(run_dir_of(command)) {}

  // Whatever happens, the last heartbeat says how it ended.
  int run() {
    try {
      const int code = train();
      watchdog_->end(code == 0 ? Ending::finished : Ending::stopped, code);
      return code;
    } catch (const Error& e) {
      if (watchdog_ != nullptr) watchdog_->end(Ending::failed, e.exit_code());
      throw;
    }
  }

 private:
  int train() {
    const double begin = now_s();
    prepare();
    say(fmt::format(
        "{} rank(s) on {} of {} micro-batches a step, {} exchange over {}{}, {} parameters, {} samples",
        comm_.size(), backend_->name(), config_.train.micro_batches, trainer_->exchange().name(),
        trainer_->transport().name(), trainer_->sharded() ? ", sharded optimizer" : "",
        trainer_->model().store().parameter_count(), trainer_->sampler().size));
    log_line(fmt::format("ready after {:.3f} s", now_s() - begin));
    if (loop() == kCheckpointAndStop) {
      say(fmt::format("stopped as asked at step {}; go on with: rondo train {} --run-dir {} --resume",
                      trainer_->steps_done(), command_.config, directory_.path()));
      return kStoppedExitCode;
    }
    report();
    return 0;
  }

  void prepare() {
    together(comm_, [&] {
      config_ = read_config(ConfigReader::from_file(command_.config, command_.overrides), factory_);
      backend_ = make_backend(config_.device, comm_.local_rank(), comm_.local_size());
    });
    fingerprint_ = common_fingerprint(*backend_, comm_);
    together(comm_, [&] { config_.task->open(); });
    together(comm_, [&] {
      if (comm_.rank() == 0) directory_.claim(command_.resume);
    });
    together(comm_, [&] {
      const std::string log = directory_.log(comm_.rank());
      open_log(log, comm_.rank());
      watchdog_ =
          std::make_unique<Watchdog>(config_.watchdog, directory_.path(), log, comm_.rank(), comm_.size());
      arm_chaos(comm_.rank());
      enter(Phase::starting);
    });
    if (command_.resume) keep_decisions();
    if (const std::string decision = resolve_compression(config_, *backend_, comm_); !decision.empty())
      say(decision);
    trainer_ = std::make_unique<Trainer>(config_, *backend_, comm_);
    if (command_.resume) resume();
    if (comm_.rank() != 0) return;
    directory_.rewind_metrics(trainer_->steps_done(), config_.train.max_steps);
    directory_.write_config(config_.toml());
    writer_ =
        std::make_unique<BackgroundWriter>(CheckpointFolder(directory_.checkpoints()),
                                           static_cast<int>(config_.checkpoint.keep), "epoch0", kDataTimeout);
  }

  // What was "auto" when the run began and changes the weights stays as it was decided then.
  void keep_decisions() {
    const std::string resolved =
        comm_.gather_texts(comm_.rank() == 0 ? directory_.read_config() : "")[0];  // rank 0 reads for all
    if (resolved.empty() || config_.exchange.compression != "auto") return;
    config_.exchange.compression =
        read_config(ConfigReader::from_text(resolved, directory_.path() + "/config.toml"), factory_)
            .exchange.compression;
  }

  void resume() {
    std::string path;  // rank 0 chooses, all read
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
    path = comm_.gather_texts(path)[0];
    if (path.empty()) return;
    together(comm_, [&] {
      const Snapshot snapshot = read_checkpoint(path);
      RunConfig stored = read_config(ConfigReader::from_text(snapshot.text("config"), path), factory_);
      require_same_bits(stored, config_, command_.config);
      const std::string& then = snapshot.text("numerics");
      if (then != fingerprint_ && !command_.accept_numerics)
        input_error(
            "{}: was computed with \"{}\", this machine has \"{}\": the weights would differ from an "
            "uninterrupted run; add --accept-numerics to go on all the same",
            path, then, fingerprint_);
      history_ = snapshot.text("numerics_history");
      if (then != fingerprint_)
        history_ += fmt::format("until step {}: {}\n", snapshot.integer("train/steps_done"), then);
      LoadVisitor load(snapshot);
      trainer_->visit(load);
      load.scalar("train/best_score", best_score_);
    });
    say(fmt::format("resumed from {} at step {}", path, trainer_->steps_done()));
  }

  std::uint32_t loop() {
    const std::int64_t last = config_.train.max_steps, first = trainer_->steps_done();
    watchdog_->began_at(first);
    enter_step(first);
    const Assignment mine = trainer_->assigned();
    Loader loader(config_.task->dataset(Split::train), trainer_->sampler(), first, last, mine.begin, mine.end,
                  trainer_->batch_rows());
    Progress progress(comm_.rank(), first, last, config_.train.log_every);
    double since = now_s();
    std::int64_t samples = 0;
    std::uint32_t asked = kNoRequest;
    while (trainer_->steps_done() < last && asked != kCheckpointAndStop) {
      enter(Phase::loading);
      const double wait = now_s();
      const StepData& data = loader.next(kDataTimeout);
      const double waited = now_s() - wait;
      samples += trainer_->sampler().samples(trainer_->steps_done());
      StepResult result = trainer_->step(data, request());
      result.times.data = waited;
      const std::int64_t done = trainer_->steps_done();
      enter_step(done);
      const double speed = static_cast<double>(samples) / (now_s() - since);
      progress.update(done, result.loss, speed);
      for (const Corruption& found : result.wrong)
        warn(
            fmt::format("step {}: rank {} found wrong sums in bucket {} (checksum): memory or network erred; "
                        "computed again",
                        done, found.rank, found.bucket));
      if (!result.balance.empty()) {
        say(fmt::format("step {}: balance: {}", done, result.balance));
        const Assignment now = trainer_->assigned();
        loader.assign(done, now.begin, now.end);
      }
      if (result.redos > 0) log_line(fmt::format("step {}: redone with new exponents", done));
      if (done % config_.train.log_every == 0 || done == last) {
        note(result, speed);
        since = now_s(), samples = 0;
      }
      const std::int64_t every = config_.checkpoint.every_steps, eval = config_.train.eval_every;
      bool save = every > 0 && done % every == 0, best = false;
      if (eval > 0 && done % eval == 0 && done != last) best = validate(progress);
      asked = result.request;
      if (asked != kNoRequest) asked_at_ = now_s();
      if ((save || best || asked != kNoRequest) && done != last) checkpoint(best);
    }
    if (trainer_->steps_done() == last) {
      const bool best = validate(progress);
      checkpoint(best);
    }
    finish_writing();
    enter(Phase::leaving);
    return asked;
  }

  // A signal that mpirun hands to all ranks reaches them during one step or the next: one checkpoint is
  // enough.
  std::uint32_t request() const {
    const std::uint32_t mine = take_request();
    return mine == kCheckpoint && now_s() - asked_at_ < kSameRequest ? kNoRequest : mine;
  }

  // Evaluates on the validation split, calibrates with it, and tells whether this is the best so far.
  bool validate(Progress& progress) {
    enter(Phase::evaluation);
    const std::vector<float> predictions = trainer_->predict(Split::validation);
    config_.task->calibrate(predictions);
    const Metrics metrics = config_.task->evaluate(Split::validation, predictions);
    nlohmann::ordered_json line = {{"step", trainer_->steps_done()}, {"split", "validation"}};
    double score = std::numeric_limits<double>::infinity();
    std::string text;
    for (const auto& [name, value] : metrics) {
      line[name] = value;
      text += fmt::format("  {} {:.5g}", name, value);
      if (name == config_.task->score()) score = value;
    }
    progress.clear();
    say(fmt::format("step {}: validation{}", trainer_->steps_done(), text));
    if (comm_.rank() == 0) directory_.append_metrics(line);
    const bool best = score < best_score_;
    if (best) best_score_ = score;
    return best;
  }

  void checkpoint(bool best) {
    enter(Phase::checkpoint);
    trainer_->collect();
    if (comm_.rank() != 0) return;
    writer_->wait();  // before the copy: one snapshot in memory is enough
    Snapshot snapshot;
    SaveVisitor save(snapshot);
    trainer_->visit(save);
    save.scalar("train/best_score", best_score_);
    snapshot.scalars["config"] = config_.toml();
    snapshot.scalars["numerics"] = fingerprint_;
    snapshot.scalars["numerics_history"] = history_;
    snapshot.scalars["build"] = build_info();
    snapshot.scalars["ranks"] = static_cast<std::int64_t>(comm_.size());
    writer_->wait();  // so that this checkpoint is not blamed for the one before
    if (const std::string problem = writer_->take_error(); !problem.empty()) warn(problem);
    writer_->submit(trainer_->steps_done(), std::move(snapshot), best);
  }

  void finish_writing() {
    together(comm_, [&] {
      if (writer_ == nullptr) return;
      writer_->wait();
      if (const std::string problem = writer_->take_error(); !problem.empty())
        input_error(
            "the last checkpoint was not written: {}; earlier ones are kept, mend it and add --resume",
            problem);
    });
  }

  void note(const StepResult& result, double speed) {
    if (comm_.rank() != 0) return;
    const StepTimes& t = result.times;
    directory_.append_metrics({{"step", trainer_->steps_done()},
                               {"loss", result.loss},
                               {"learning_rate", result.rate},
                               {"gradient_norm", result.norm},
                               {"samples_per_s", speed},
                               {"redos", result.redos},
                               {"data_s", t.data},
                               {"forward_s", t.forward},
                               {"backward_s", t.backward},
                               {"communication_hidden_s", t.hidden},
                               {"communication_exposed_s", t.exposed},
                               {"optimizer_s", t.optimizer}});
  }

  void report() {
    rusage use{};
    getrusage(RUSAGE_SELF, &use);
    log_line(fmt::format("peak memory {:.1f} MiB", static_cast<double>(use.ru_maxrss) / 1024));
    const Metrics metrics = evaluate(*trainer_, *config_.task, Split::test);
    nlohmann::ordered_json line = {{"step", trainer_->steps_done()}, {"split", "test"}};
    for (const auto& [name, value] : metrics) line[name] = value;
    say(fmt::format("test, {} samples:\n{}", config_.task->dataset(Split::test).size(),
                    config_.task->table(metrics)));
    if (comm_.rank() == 0) directory_.append_metrics(line);
    say(fmt::format("run directory: {}", directory_.path()));
  }

  const TrainCommand& command_;
  Communicator& comm_;
  TaskFactory factory_;
  RunDirectory directory_;
  RunConfig config_;
  std::unique_ptr<Watchdog> watchdog_;
  std::unique_ptr<Backend> backend_;
  std::string fingerprint_, history_;
  std::unique_ptr<Trainer> trainer_;
  std::unique_ptr<BackgroundWriter> writer_;
  double best_score_ = std::numeric_limits<double>::infinity();
  double asked_at_ = -std::numeric_limits<double>::infinity();  // when the last request was met, now_s()
};

}  // namespace

std::string run_dir_of(const TrainCommand& command) {
  if (!command.run_dir.empty()) return command.run_dir;
  return "runs/" + std::filesystem::path(command.config).stem().string();
}

int run_training(const TrainCommand& command, Communicator& comm, TaskFactory factory) {
  return Session(command, comm, factory).run();
}

}  // namespace rondo
