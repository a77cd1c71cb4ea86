#include "rondo/survive/job.hpp"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "rondo/core/clock.hpp"
#include "rondo/core/error.hpp"

namespace rondo {
namespace {

// Seconds.
constexpr double kReadEvery = 0.05;
constexpr double kStart = 600;    // until all ranks are up: a large machine, a slow file system
constexpr double kFarewell = 15;  // for mpirun to end when ranks have said that they do
constexpr double kFailed = 3;     // likewise when one failed: it prints its error within 2
constexpr double kKill = 10;      // until a killed process is gone
constexpr double kLinger = 5;     // for mpirun when its ranks are gone; 4.1 takes 2

pid_t start(const JobPlan& plan) {
  std::vector<char*> arguments;
  for (const std::string& word : plan.command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const std::string name = plan.name.text();
  const pid_t parent = getpid(), child = fork();
  RONDO_CHECK(child >= 0, "fork failed: {}", std::strerror(errno));
  if (child > 0) return child;
  setsid();
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(1);
  for (const int number : {SIGUSR1, SIGUSR2, SIGTERM, SIGINT}) std::signal(number, SIG_DFL);
  setenv(JobName::kVariable, name.c_str(), 1);
  execvp(arguments[0], arguments.data());
  _exit(127);
}

// A last word after which the others end, too: any, but where they survive losses only a rank's own decision.
bool ends_job(const Beat& beat) {
  const bool lost =
      beat.ending == Ending::hung || beat.ending == Ending::crashed || beat.ending == Ending::outlived;
  return beat.ending != Ending::none && !(lost && beat.survives != 0);
}

}  // namespace

Job::Job(JobPlan plan) : plan_(std::move(plan)), mpirun_(start(plan_)), started_(now_s()) {}

Job::~Job() {
  const Deadline deadline(kLinger);
  for (reap(); exit_code_ < 0; reap()) {
    if (deadline.passed()) kill(mpirun_, SIGKILL);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

void Job::reap() {
  int status = 0;
  if (exit_code_ < 0 && waitpid(mpirun_, &status, WNOHANG) == mpirun_)
    exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void Job::send(int signal) const {
  if (exit_code_ < 0) kill(mpirun_, signal);
}

void Job::read_beats() {
  const double now = now_s();
  for (int r = 0; r < plan_.ranks; ++r) {
    const auto beat = read_beat(plan_.run_directory, r);
    if (!beat || beat->job != plan_.name.job) continue;
    const auto [at, is_new] = seen_.try_emplace(r);
    Seen& seen = at->second;
    if (seen.beat.ending == Ending::outlived) continue;  // whatever it may still say
    if (is_new && scope_ == beat->scope) seen.process = std::make_unique<Process>(beat->pid);
    if (is_new || beat->count != seen.beat.count) seen.beat_at = now;
    if (is_new || beat->word != seen.beat.word) seen.word_at = now;
    seen.beat = *beat;
    if (beat->ending == Ending::outlived) loss_at_ = now;
    if (ends_job(*beat) && farewell_ == 0) farewell_ = now;
  }
}

Job::Verdict Job::look() {
  reap();
  bool died = false;
  for (auto& [rank, seen] : seen_)
    if (!seen.dead && seen.process != nullptr && seen.process->ended()) seen.dead = died = true;
  if (died) loss_at_ = now_s();
  if (died || exit_code_ >= 0 || now_s() >= next_read_) {
    read_beats();  // after the deaths: the last words are there
    next_read_ = now_s() + kReadEvery;
  }
  return judge();
}

std::string Job::fate_of(const Seen& rank) const {
  // Of a rank on this machine not before its death: it may be writing its stack.
  if (rank.process != nullptr && !rank.dead) return "";
  switch (rank.beat.ending) {
    case Ending::hung:
      return "hung, and was ended by its watchdog";
    case Ending::crashed:
      return fmt::format("crashed: {}", strsignal(rank.beat.code));
    case Ending::none:
      return rank.dead ? "died without a word (killed, or left by _exit)" : "";
    default:
      return "";
  }
}

// A little before its peers' watchdogs, which cannot tell that the others are to be spared.
bool Job::silent(const Seen& rank) const {
  return rank.beat.floor_s > 0 && now_s() - rank.beat_at > 0.8 * rank.beat.floor_s;
}

bool Job::outlived(const Seen& rank) const {
  return rank.beat.ending == Ending::outlived || (rank.beat.survives != 0 && !fate_of(rank).empty());
}

Job::Verdict Job::judge() const {
  Verdict verdict;
  const double now = now_s();
  double latest = 0, limit = 0;  // of those whom nothing has befallen
  for (const auto& [rank, seen] : seen_) {
    if (outlived(seen) || !fate_of(seen).empty() || (farewell_ == 0 && silent(seen))) continue;
    latest = std::max({latest, seen.word_at, loss_at_});  // they may have waited for the lost until now
    limit = std::max(limit, seen.beat.limit_s);
  }
  const bool stuck = farewell_ == 0 && limit > 0 && now - latest > 1.5 * limit + 1;
  const bool others_go_on = latest > 0 && !stuck;
  const auto blame = [&](const Seen& seen, const std::string& fate) {
    if (fate.empty() || (others_go_on && seen.beat.survives != 0)) return;
    verdict.kind = Verdict::broken;
    verdict.lost.push_back(seen.beat.rank);
    verdict.what += fmt::format("{}{}, last seen in {}: {}", verdict.what.empty() ? "" : "; ",
                                seen.beat.who(), seen.beat.where(), fate);
  };
  for (const auto& [rank, seen] : seen_) blame(seen, fate_of(seen));
  if (verdict.kind == Verdict::broken) return verdict;
  if (exit_code_ >= 0) {
    verdict.kind = Verdict::over;
    return verdict;
  }
  if (farewell_ > 0) {
    if (now - farewell_ > (failure_code() != 0 ? kFailed : kFarewell)) verdict.kind = Verdict::over;
    return verdict;
  }
  if (!up()) {
    if (now - started_ > kStart)
      verdict = {Verdict::broken, {}, fmt::format("no start within {:.0f} s", kStart)};
    return verdict;
  }
  for (const auto& [rank, seen] : seen_)
    if (silent(seen) && !outlived(seen))
      blame(seen,
            fmt::format("no sign of life for {:.1f} s: stopped, or its host is gone", now - seen.beat_at));
  if (verdict.kind == Verdict::running && stuck)
    verdict = {Verdict::broken, {}, fmt::format("no rank has made progress for {:.1f} s", now - latest)};
  return verdict;
}

std::int64_t Job::first_step() const {
  std::int64_t step = -1;
  for (const auto& [rank, seen] : seen_) step = std::max(step, seen.beat.first_step);
  return step;
}

std::int64_t Job::reached_step() const {
  std::int64_t step = -1;
  for (const auto& [rank, seen] : seen_) step = std::max(step, seen.beat.position().step);
  return step;
}

Ending Job::common_ending() const {
  if (!up()) return Ending::none;
  std::optional<Ending> common;
  for (const auto& [rank, seen] : seen_) {
    if (outlived(seen)) continue;
    if (common.value_or(seen.beat.ending) != seen.beat.ending) return Ending::none;
    common = seen.beat.ending;
  }
  return common.value_or(Ending::none);
}

std::string Job::failure() const {
  for (const auto& [rank, seen] : seen_)
    if (seen.beat.ending == Ending::failed)
      return fmt::format("{} in {}: an error, exit code {}; see logs/rank-{:04}.log", seen.beat.who(),
                         seen.beat.where(), seen.beat.code, rank);
  return "";
}

int Job::failure_code() const {
  for (const auto& [rank, seen] : seen_)
    if (seen.beat.ending == Ending::failed) return seen.beat.code;
  return 0;
}

bool Job::end() {
  read_beats();
  std::vector<const Process*> here;
  bool all_here = up();
  for (const auto& [rank, seen] : seen_) {
    if (seen.process == nullptr)
      all_here = false;
    else
      here.push_back(seen.process.get());
  }
  // Ranks elsewhere, and those that never gave a heartbeat, are mpirun's to end; its end says that they have.
  if (!all_here) {
    send(SIGTERM);
    const Deadline deadline(kKill);
    for (reap(); exit_code_ < 0 && !deadline.passed(); reap())
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  if (!kill_for_sure(here, kKill)) return false;
  for (const Deadline deadline(kKill);;) {  // until only mpirun is left of its session
    std::vector<Process> rest;
    for (const pid_t pid : members_of_session(mpirun_))
      if (pid != mpirun_) rest.emplace_back(pid);
    if (rest.empty()) return true;
    std::vector<const Process*> all;
    for (const Process& process : rest) all.push_back(&process);
    if (deadline.passed() || !kill_for_sure(all, kKill)) return false;
  }
}

}  // namespace rondo
