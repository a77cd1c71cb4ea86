#include "rondo/survive/launch.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <memory>
#include <random>
#include <thread>

#include "rondo/core/clock.hpp"
#include "rondo/core/error.hpp"
#include "rondo/io/checkpoint_folder.hpp"
#include "rondo/survive/attempts.hpp"
#include "rondo/survive/hosts.hpp"
#include "rondo/survive/job.hpp"

namespace rondo {
namespace {

constexpr int kSameCheckpoint = 4;           // failures in a row that gain none: it is no accident
constexpr double kPauses[] = {0, 1, 4};      // seconds before the restarts between them
constexpr double kStop = 120;                // seconds for a job to write its checkpoint and end
constexpr double kProbe = 10;                // seconds for a host to answer
constexpr int kBadInput = 2, kStopped = 85;  // exit codes of `rondo train` that a restart does not mend

volatile std::sig_atomic_t checkpoint_asked = 0, stop_asked = 0;
void on_signal(int number) {
  if (number == SIGUSR1)
    checkpoint_asked = 1;
  else
    stop_asked = stop_asked + 1;
}

void tell(const std::string& text) {
  std::fputs(("launch: " + text + "\n").c_str(), stdout);
  std::fflush(stdout);
}

class Launch {
 public:
  explicit Launch(const LaunchOptions& options)
      : options_(options), ranks_(options.ranks), checkpoints_(options.run_directory + "/checkpoints") {
    if (!options.hosts.empty()) hosts_ = read_hosts(options.hosts);
    if (!hosts_.empty() && slots_of(hosts_) < ranks_)
      input_error("--hosts {}: has {} slots for {} ranks; add hosts or slots, or lower -n", options.hosts,
                  slots_of(hosts_), ranks_);
    take_locks();
    for (const int number : {SIGUSR1, SIGTERM, SIGINT}) std::signal(number, on_signal);
  }
  ~Launch() { close(lock_); }

  int run() {
    for (int number = 0;; ++number) {
      const std::int64_t checkpoint_before = newest_checkpoint();
      attempt(number);
      const Attempt& last = attempts_.back();
      if (code_ >= 0) return farewell();
      tell(last.what);
      if (stop_asked) {
        tell("asked to stop: no restart; what the newest checkpoint has is safe");
        return kStopped;
      }
      if (number >= options_.max_restarts)
        give_up(fmt::format("{} restarts were not enough; --max-restarts allows more", number));
      fruitless_ = newest_checkpoint() > checkpoint_before ? 0 : fruitless_ + 1;
      if (fruitless_ >= kSameCheckpoint)
        give_up(
            fmt::format("{} attempts in a row got no further than step {}; look at {}/logs and start again",
                        fruitless_, last.reached_step, options_.run_directory));
      shrink();
      pause(kPauses[std::max(0, fruitless_ - 1)]);
      tell(fmt::format(
          "restart {} of at most {}, from {} on {} rank(s)", number + 1, options_.max_restarts,
          newest_checkpoint() < 0 ? "the beginning" : fmt::format("step {}", newest_checkpoint()), ranks_));
    }
  }

 private:
  // One launch a run directory, and none where a run is at work without us.
  void take_locks() {
    const std::string& folder = options_.run_directory;
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (error)
      input_error("{}: the run directory cannot be made ({}); give a writable --run-dir", folder,
                  error.message());
    const auto locked = [&](const char* name) {
      const std::string path = folder + name;
      const int fd = open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644);
      if (fd < 0)
        input_error("{}: cannot be written ({}); give a writable --run-dir", path, std::strerror(errno));
      if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        input_error("{}: another run is writing here; wait for it, or give another --run-dir", folder);
      return fd;
    };
    lock_ = locked("/launch.lock");
    close(locked("/lock"));  // rank 0 takes it
    clear_beats(folder);
  }

  std::int64_t newest_checkpoint() const {
    const auto steps = checkpoints_.list();
    return steps.empty() ? -1 : steps.back();
  }

  JobPlan plan(int number) const {
    JobPlan plan;
    plan.command = options_.mpirun;
    const auto add = [&](std::initializer_list<std::string> words) {
      plan.command.insert(plan.command.end(), words);
    };
    add({"-n", std::to_string(ranks_), "-x", JobName::kVariable});
    if (std::getenv("RONDO_CHAOS") != nullptr) add({"-x", "RONDO_CHAOS"});
    if (!hosts_.empty()) {
      const std::string file = options_.run_directory + "/hosts";
      write_hosts(file, left_);
      add({"--hostfile", file});
    }
    plan.command.insert(plan.command.end(), options_.train.begin(), options_.train.end());
    if (number > 0 && !options_.resume) add({"--resume"});
    plan.run_directory = options_.run_directory;
    plan.ranks = ranks_;
    plan.name = {std::random_device{}() | 1u, number};
    return plan;
  }

  // Runs one job to its end and writes it into the account. Sets code_ unless it is to be started again.
  void attempt(int number) {
    if (number == 0) left_ = hosts_;
    Attempt account;
    account.number = number;
    account.began = utc_now();
    account.ranks = ranks_;
    const double begin = now_s();
    auto job = std::make_unique<Job>(plan(number));
    const Job::Verdict verdict = watch(*job, account);
    failed_at_ = now_s();
    if (!job->end())
      throw Error(fmt::format(
          "{}: a rank cannot be killed, so a restart could meet it: end it (a reboot of its host?), "
          "then go on with --resume",
          options_.run_directory));
    account.seconds = failed_at_ - begin;
    account.from_step = job->first_step();
    account.reached_step = job->reached_step();
    account.lost = verdict.lost;
    account.what = judge(*job, verdict, number);
    if (job->any_up()) append_attempt(options_.run_directory, account);
    attempts_.push_back(account);
    job_before_ = std::move(job);  // its mpirun may take its time while the next job starts
  }

  Job::Verdict watch(Job& job, Attempt& account) {
    double stop_at = 0;
    for (;;) {
      const Job::Verdict verdict = job.look();
      if (verdict.kind != Job::Verdict::running) return verdict;
      if (account.outage_s < 0 && failed_at_ > 0 && job.up() && job.reached_step() > job.first_step())
        account.outage_s = now_s() - failed_at_;
      if (job.up()) {  // before, a signal could end a rank that is not ready for it
        if (checkpoint_asked) checkpoint_asked = 0, job.send(SIGUSR1);
        if (stop_asked && stop_at == 0) stop_at = now_s(), job.send(SIGUSR2);
      }
      if (stop_asked > 1 || (stop_at > 0 && now_s() - stop_at > kStop))
        return {Job::Verdict::broken, {}, "did not stop in time, and was ended"};
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }

  // What an ended job means: sets code_ where there is nothing to start again.
  std::string judge(const Job& job, const Job::Verdict& verdict, int number) {
    code_ = -1;
    if (verdict.kind == Job::Verdict::broken) return verdict.what;
    const Ending ending = job.common_ending();
    if (ending == Ending::finished) return code_ = 0, "trained";
    if (ending == Ending::stopped) return code_ = kStopped, "stopped as asked";
    const int exit_code = job.exit_code();
    if (job.failure_code() == kBadInput || (!job.any_up() && exit_code == kBadInput))
      return code_ = kBadInput, "refused: " + job.failure();
    if (!job.any_up() && number == 0) {
      if (exit_code == 127)
        input_error("{} cannot be started: put Open MPI on the PATH, or name its mpirun in RONDO_MPIRUN",
                    options_.mpirun[0]);
      return code_ = std::max(exit_code, 1), fmt::format("mpirun started no rank: exit code {}", exit_code);
    }
    const std::string failure = job.failure();
    return failure.empty() ? fmt::format("mpirun ended with exit code {}", exit_code) : failure;
  }

  void shrink() {
    const int least = options_.min_ranks > 0 ? options_.min_ranks : options_.ranks;
    int able = options_.ranks;
    if (hosts_.size() > 1) {
      left_ = answering(hosts_, options_.mpirun, kProbe);
      able = std::min(able, slots_of(left_));
      for (const Host& host : hosts_)
        if (std::ranges::none_of(left_, [&](const Host& h) { return h.name == host.name; }))
          tell(fmt::format("host {} does not answer", host.name));
    }
    if (able < least)
      give_up(fmt::format("only {} of at least {} ranks have a host that answers", able, least));
    ranks_ = std::clamp(able - std::max(0, fruitless_ - 1), least, able);
  }

  void pause(double seconds) const {
    if (seconds > 0) tell(fmt::format("waiting {:.0f} s", seconds));
    for (const Deadline deadline(seconds); !deadline.passed() && !stop_asked;)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }

  int farewell() const {
    if (attempts_.size() > 1 && code_ == 0)
      tell(fmt::format("trained after {} restart(s)\n{}", attempts_.size() - 1, table_of(attempts_)));
    return code_;
  }

  [[noreturn]] void give_up(const std::string& why) const {
    tell("gives up\n" + table_of(attempts_));
    throw Error("launch: " + why);
  }

  const LaunchOptions& options_;
  int ranks_, fruitless_ = 0, code_ = -1, lock_ = -1;
  CheckpointFolder checkpoints_;
  std::vector<Host> hosts_, left_;
  std::vector<Attempt> attempts_;
  std::unique_ptr<Job> job_before_;
  double failed_at_ = 0;
};

}  // namespace

int launch(const LaunchOptions& options) { return Launch(options).run(); }

}  // namespace rondo
