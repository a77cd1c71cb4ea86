#include "rondo/train/session.hpp"

#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <optional>
#include <utility>

#include "rondo/core/clock.hpp"
#include "rondo/core/error.hpp"
#include "rondo/core/log.hpp"
#include "rondo/core/phase.hpp"
#include "rondo/survive/chaos.hpp"
#include "rondo/survive/lost_ranks.hpp"
#include "rondo/survive/watchdog.hpp"
#include "rondo/train/compression_choice.hpp"
#include "rondo/train/run_directory.hpp"
#include "rondo/train/signals.hpp"
#include "run_checkpoints.hpp"
#include "run_metrics.hpp"
#include "run_scores.hpp"

namespace rondo {
namespace {

constexpr int kFruitless = 3;       // recoveries of one step that find nobody dead; returns to one state
constexpr int kRetired = 2;         // times that a rank is found with a state of its own: then it has to go
constexpr double kSameRequest = 1;  // seconds within which the ranks' wishes for a checkpoint are one

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
    const Roster& roster = trainer_->roster();
    say(fmt::format(
        "{} rank(s){} on {} of {} micro-batches a step, {} exchange over {}{}, {} parameters, {} samples",
        roster.active(),
        config_.spares.count > 0 ? fmt::format(" and {} spare(s)", config_.spares.count) : "",
        backend_->name(), config_.train.micro_batches, trainer_->exchange().name(),
        trainer_->transport().name(),
        !trainer_->sharded() ? ""
        : recovers_          ? ", sharded optimizer with mirrors"
                             : ", sharded optimizer",
        trainer_->model().store().parameter_count(), trainer_->sampler().size));
    if (roster.spare(comm_.rank()))
      log_line("this rank is a spare: it runs no micro-batches until it takes over from another");
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
    const std::string numerics = common_fingerprint(*backend_, comm_);
    together(comm_, [&] { config_.task->open(); });
    together(comm_, [&] {
      if (comm_.rank() == 0) directory_.claim(command_.resume);
    });
    checkpoints_.emplace(command_, directory_, config_, comm_, numerics);
    together(comm_, [&] {
      const std::string log = directory_.log(comm_.rank());
      open_log(log, comm_.rank());
      watchdog_ =
          std::make_unique<Watchdog>(config_.watchdog, directory_.path(), log, comm_.rank(), comm_.size());
      arm_chaos(comm_.rank(), [this](StateVisitor& visitor) {
        trainer_->visit(visitor);
        trainer_->visit_gradients(visitor);
      });
      enter(Phase::starting);
    });
    if (command_.resume) checkpoints_->keep_decisions(factory_);
    if (const std::string decision = resolve_compression(config_, *backend_, comm_); !decision.empty())
      say(decision);
    trainer_ = std::make_unique<Trainer>(config_, *backend_, comm_, config_.spares.count);
    recovers_ = trainer_->recovers();
    if (config_.spares.count > 0 && !recovers_)
      warn(fmt::format(
          "recovery.spares = {}: a death ends the job here all the same, they only take over from a "
          "rank that is far too slow; ranks on CPUs under mpirun --with-ft ulfm (Open MPI 5) go on",
          config_.spares.count));
    scores_.emplace(*trainer_, *config_.task, metrics_, checkpoints_->best_score());
    if (command_.resume) checkpoints_->resume(*trainer_, factory_);
    if (comm_.rank() != 0) return;
    directory_.rewind_metrics(trainer_->steps_done(), config_.train.max_steps);
    directory_.write_config(config_.toml());
    checkpoints_->begin_writing();
  }

  void set_out() {
    const std::int64_t last = config_.train.max_steps, first = trainer_->steps_done();
    watchdog_->began_at(first, recovers_);
    enter_step(first);
    loader_ = trainer_->loader(first, last);
    progress_.emplace(comm_.rank(), first, last, config_.train.log_every);
    first_ = settled_ = first;
    since_ = now_s();
    if (comm_.size() == 1 || config_.agreement.every == 0) return;
    if (!trainer_->replicated()) {
      log_line("recovery.check_every: with a sharded optimizer or compression ranks have nothing to compare");
      return;
    }
    agreement_.emplace(
        [this](StateVisitor& visitor) {
          trainer_->visit_evidence(visitor);
          visitor.scalar("train/best_score", checkpoints_->best_score());
        },
        comm_);
    if (!agreement_->check()) throw Error("the ranks begin with different state: " + agreement_->account());
  }

  // The rest of the run, to its last word. After the loss of a rank it is called again.
  void go_on() {
    for (;;) {
      if (settled_ < trainer_->steps_done()) settle();
      if (trainer_->steps_done() < config_.train.max_steps) {
        if (asked_ == kCheckpointAndStop) break;
        step();
      } else if (const bool best = validate(); agreed()) {
        checkpoint(best);
        break;
      }
    }
    checkpoints_->finish();
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
    const StepData& data = loader_->next();
    const double waited = now_s() - wait;
    wish_ = std::max(wish_, request());
    trainer_->work_beside(checkpoints_->busy());
    try {
      result_ = trainer_->step(data, loader_.get(), wish_);
    } catch (const NotFinite&) {  // as wrong weights may do
      if (agreed()) throw;
      return;
    } catch (const NotRepeated&) {
      if (agreed()) throw;
      return;
    }
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
          fmt::format("step {}: bucket {}, rank {}: wrong sums (checksum): memory or network erred; computed "
                      "again",
                      done, found.bucket, found.rank));
    if (!result_.balance.empty()) {
      say(fmt::format("step {}: balance: {}", done, result_.balance));
      if (comm_.rank() == 0)
        directory_.append_balance({{"time", utc_now()}, {"step", done}, {"what", result_.balance}});
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
      metrics_.step(done, result_, speed_);
      since_ = now_s(), samples_ = 0;
    }
    const auto due = [&](std::int64_t every) { return every > 0 && done % every == 0 && done != last; };
    const bool best = due(config_.train.eval_every) && validate();
    const bool save = due(config_.checkpoint.every_steps) || best || (asked_ != kNoRequest && done != last);
    if ((save || due(config_.agreement.every)) && !agreed()) return;
    if (save) checkpoint(best);
    settled_ = done;
  }

  // Whether all ranks have the same state, to which they can go back from now on. If not, they have gone
  // back.
  bool agreed() {
    if (!agreement_ || comm_.size() == 1) return true;
    enter(Phase::checking);
    const double begin = now_s();
    const bool same = agreement_->check();
    metrics_.paused(RunMetrics::kChecking, now_s() - begin);
    returns_ = same ? 0 : returns_ + 1;
    if (!same) go_back();
    return same;
  }

  void go_back() {
    Attempt account;
    account.began = utc_now();
    account.ranks = comm_.size();
    account.reached_step = trainer_->steps_done();
    agreement_->go_back();
    const std::int64_t now = trainer_->steps_done();
    account.from_step = first_ = settled_ = now;
    account.what =
        fmt::format("memory has changed: {}; all went back to step {}", agreement_->account(), now);
    wish_ = std::max(wish_, std::exchange(asked_, kNoRequest));
    progress_->clear();
    warn(fmt::format("step {}: {}", account.reached_step, account.what));
    if (comm_.rank() == 0) {
      append_attempt(directory_.path(), account);
      directory_.rewind_metrics(now, config_.train.max_steps);
    }
    if (returns_ >= kFruitless)
      throw Error(fmt::format("the ranks have disagreed {} times on what follows step {}: {}", returns_, now,
                              agreement_->account()));
    for (const auto& [seat, times] : agreement_->named())
      if (seat == comm_.seat() && times >= kRetired) retire(times);
    enter_step(now);
    const Assignment mine = trainer_->assigned();
    loader_->assign(now, mine.begin, mine.end);
    since_ = now_s(), samples_ = 0;
  }

  // The others go on without this rank where they can.
  void retire(int times) const {
    const std::string why =
        fmt::format("differed from the majority {} times: its memory or processor is bad", times);
    if (!recovers_) throw Error(fmt::format("this rank {}; leave its host out and add --resume", why));
    log_line(fmt::format("this rank {}; it leaves", why));
    std::fputs(fmt::format("rondo: rank {} {}; it leaves\n", comm_.seat(), why).c_str(), stderr);
    std::raise(SIGKILL);
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
        loss_.note(trainer_->lose(lost));
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
    if (!checkpoints_->writing()) {
      directory_.take_over();
      progress_.emplace(0, trainer_->steps_done(), config_.train.max_steps, config_.train.log_every);
      checkpoints_->begin_writing();
    }
    directory_.rewind_metrics(settled_, config_.train.max_steps);
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

  bool validate() {
    enter(Phase::evaluation);
    progress_->clear();
    return scores_->validate();
  }

  void checkpoint(bool best) {
    enter(Phase::checkpoint);
    const double begin = now_s();
    checkpoints_->write(*trainer_, best);
    metrics_.paused(RunMetrics::kCheckpoint, now_s() - begin);
  }

  void report() {
    rusage use{};
    getrusage(RUSAGE_SELF, &use);
    log_line(fmt::format("peak memory {:.1f} MiB", static_cast<double>(use.ru_maxrss) / 1024));
    log_line("training stood still for " + metrics_.pauses());
    scores_->test();
    say(fmt::format("run directory: {}", directory_.path()));
  }

  const TrainCommand& command_;
  Communicator& comm_;
  TaskFactory factory_;
  RunDirectory directory_;
  RunMetrics metrics_{directory_, comm_};
  RunConfig config_;
  std::unique_ptr<Watchdog> watchdog_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Trainer> trainer_;
  std::optional<RunCheckpoints> checkpoints_;
  std::optional<RunScores> scores_;
  std::unique_ptr<Loader> loader_;
  std::optional<Progress> progress_;
  StepResult result_;      // of the last step
  bool recovers_ = false;  // goes on in the job when a rank is lost
  std::optional<Agreement> agreement_;
  int returns_ = 0;                       // to the agreed state, since the ranks agreed last
  int fruitless_ = 0;                     // recoveries since the last step that found nobody dead
  LostRanks loss_;                        // not made good yet
  std::int64_t first_ = 0, settled_ = 0;  // steps, of which settled_ with what follows them
  std::uint32_t wish_ = kNoRequest, asked_ = kNoRequest;        // this rank's; that of all ranks
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
