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
#include "rondo/survive/lost_ranks.hpp"
#include "rondo/survive/watchdog.hpp"
#include "rondo/train/compression_choice.hpp"
#include "rondo/train/run_directory.hpp"
#include "rondo/train/signals.hpp"

namespace rondo {
namespace {

constexpr double kDataTimeout = 600;  // seconds to wait for a sample, or for a checkpoint's disk
constexpr int kFruitless = 3;         // recoveries of one step that find nobody dead
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
    set_out();
    for (;;) try {
        go_on();
        return asked_ == kCheckpointAndStop ? kStoppedExitCode : 0;
      } catch (const RankLost& loss) {
        if (!recovers_) throw;
        recover(loss);
      }
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
    recovers_ = can_recover();
    trainer_ = std::make_unique<Trainer>(config_, *backend_, comm_);
    if (command_.resume) resume();
    if (comm_.rank() != 0) return;
    directory_.rewind_metrics(trainer_->steps_done(), config_.train.max_steps);
    directory_.write_config(config_.toml());
    make_writer();
  }

  // NCCL's communicators do not outlive a rank, and what a lane of a compressed exchange keeps dies with its
  // own.
  bool can_recover() const {
    return comm_.recovers() && backend_->reads_host_memory() && config_.exchange.compression == "none";
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

  void set_out() {
    const std::int64_t last = config_.train.max_steps, first = trainer_->steps_done();
    watchdog_->began_at(first, recovers_);
    enter_step(first);
    const Assignment mine = trainer_->assigned();
    loader_ = std::make_unique<Loader>(config_.task->dataset(Split::train), trainer_->sampler(), first, last,
                                       mine.begin, mine.end, trainer_->batch_rows(), backend_->host_memory());
    progress_.emplace(comm_.rank(), first, last, config_.train.log_every);
    first_ = settled_ = first;
    since_ = now_s();
  }

  // The rest of the run, to its last word. After the loss of a rank it is called again.
  void go_on() {
    for (;;) {
      if (settled_ < trainer_->steps_done()) settle();
      if (trainer_->steps_done() == config_.train.max_steps || asked_ == kCheckpointAndStop) break;
      step();
    }
    if (trainer_->steps_done() == config_.train.max_steps) checkpoint(validate());
    finish_writing();
    enter(Phase::leaving);
    if (asked_ == kCheckpointAndStop)
      say(fmt::format("stopped as asked at step {}; go on with: rondo train {} --run-dir {} --resume",
                      trainer_->steps_done(), command_.config, directory_.path()));
    else
      report();
    tell_of_loss();
    if (!comm_.recovers()) return;
    comm_.barrier();  // rank 0 has written what there is to write
    comm_.commit();   // and all know
  }

  void step() {
    enter(Phase::loading);
    const double wait = now_s();
    const StepData& data = loader_->next(kDataTimeout);
    const double waited = now_s() - wait;
    wish_ = std::max(wish_, request());
    result_ = trainer_->step(data, loader_->ahead(), wish_);
    wish_ = kNoRequest;
    fruitless_ = 0;
    result_.times.data = waited;
    const std::int64_t done = trainer_->steps_done();
    samples_ += trainer_->sampler().samples(done - 1);
    enter_step(done);
    tell_of_loss();
    speed_ = static_cast<double>(samples_) / (now_s() - since_);
    progress_->update(done, result_.loss, speed_);
    for (const Corruption& found : result_.wrong)
      warn(
          fmt::format("step {}: rank {} found wrong sums in bucket {} (checksum): memory or network erred; "
                      "computed again",
                      done, found.rank, found.bucket));
    if (!result_.balance.empty()) {
      say(fmt::format("step {}: balance: {}", done, result_.balance));
      const Assignment now = trainer_->assigned();
      loader_->assign(done, now.begin, now.end);
    }
    if (result_.rescaled > 0)
      log_line(
          fmt::format("step {}: float16 overflowed: computed again with the loss scale halved {} time(s)",
                      done, result_.rescaled));
    if (result_.redos > 0) log_line(fmt::format("step {}: redone with new exponents", done));
    asked_ = result_.request;
    if (asked_ != kNoRequest) asked_at_ = now_s();
  }

  // What follows a step. After a loss it is done again, by ranks that had been through it too.
  void settle() {
    const std::int64_t done = trainer_->steps_done(), last = config_.train.max_steps;
    if (done % config_.train.log_every == 0 || done == last) {
      note(result_, speed_);
      since_ = now_s(), samples_ = 0;
    }
    const std::int64_t every = config_.checkpoint.every_steps, eval = config_.train.eval_every;
    bool save = every > 0 && done % every == 0, best = false;
    if (eval > 0 && done % eval == 0 && done != last) best = validate();
    if ((save || best || asked_ != kNoRequest) && done != last) checkpoint(best);
    settled_ = done;
  }

  // The survivors become the ranks, and go on from the step that none of them, or all of them, have applied.
  void recover(const RankLost& loss) {
    if (loss_.lost.empty()) loss_.noticed = now_s();
    log_line(fmt::format("{}; recovering", loss.what()));
    for (;;) try {
        enter(Phase::recovery);
        enter(Phase::regrouping);
        const std::vector<int> lost = comm_.recover();
        fruitless_ = lost.empty() ? fruitless_ + 1 : 0;
        if (fruitless_ >= kFruitless) throw Error(fmt::format("no rank is lost, but: {}", loss.what()));
        loss_.add(directory_.path(), lost, trainer_->steps_done());
        error_context().rank = comm_.rank();
        watchdog_->lost(lost);
        log_line(fmt::format("{}; this is rank {} of {} now", loss_.what(), comm_.rank(), comm_.size()));
        settled_ = std::min(settled_, std::max(first_, trainer_->steps_done() - 1));
        if (comm_.rank() == 0) take_over();
        trainer_->regroup();
        const Assignment mine = trainer_->assigned();
        loader_->assign(trainer_->steps_done(), mine.begin, mine.end);
        return;
      } catch (const RankLost& another) {
        log_line(fmt::format("{}; recovering", another.what()));
      }
  }

  // What rank 0 has to have. The one before may have died on the way to any line of the metrics.
  void take_over() {
    if (writer_ == nullptr) {
      directory_.take_over();
      progress_.emplace(0, trainer_->steps_done(), config_.train.max_steps, config_.train.log_every);
      make_writer();
    }
    directory_.rewind_metrics(settled_, config_.train.max_steps);
  }

  void make_writer() {
    writer_ = std::make_unique<BackgroundWriter>(CheckpointFolder(directory_.checkpoints()),
                                                 static_cast<int>(config_.checkpoint.keep),
                                                 fmt::format("from{}", comm_.seat()), kDataTimeout);
  }

  void tell_of_loss() {
    if (loss_.lost.empty()) return;
    const double outage = now_s() - loss_.noticed;
    progress_->clear();
    say(fmt::format("{}; {} rank(s) go on; step done again after {:.3f} s", loss_.what(), comm_.size(),
                    outage));
    if (comm_.rank() == 0) append_attempt(directory_.path(), loss_.account(comm_.size(), outage));
    loss_ = {};
  }

  // A signal that mpirun hands to all ranks reaches them during one step or the next: one checkpoint is
  // enough.
  std::uint32_t request() const {
    const std::uint32_t mine = take_request();
    return mine == kCheckpoint && now_s() - asked_at_ < kSameRequest ? kNoRequest : mine;
  }

  // Evaluates on the validation split, calibrates with it, and tells whether this is the best so far; done
  // again it says the same.
  bool validate() {
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
    progress_->clear();
    say(fmt::format("step {}: validation{}", trainer_->steps_done(), text));
    if (comm_.rank() == 0) directory_.append_metrics(line);
    if (score < best_score_) {
      best_score_ = score;
      best_step_ = trainer_->steps_done();
    }
    return best_step_ == trainer_->steps_done();
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
  std::unique_ptr<BackgroundWriter> writer_;  // on rank 0
  std::unique_ptr<Loader> loader_;
  std::optional<Progress> progress_;
  StepResult result_;      // of the last step
  bool recovers_ = false;  // goes on in the job when a rank is lost
  int fruitless_ = 0;      // recoveries since the last step that found nobody dead
  LostRanks loss_;         // not made good yet
  double best_score_ = std::numeric_limits<double>::infinity();
  std::int64_t best_step_ = -1;                           // of this process
  std::int64_t first_ = 0, settled_ = 0;                  // steps, of which settled_ with what follows them
  std::uint32_t wish_ = kNoRequest, asked_ = kNoRequest;  // this rank's; that of all ranks
  double asked_at_ = -std::numeric_limits<double>::infinity();  // when the last request was met, now_s()
  double since_ = 0, speed_ = 0;                                // of the samples below; samples/s
  std::int64_t samples_ = 0;
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
