// Watching over a run: positions, limits of phases, the account, hostfiles, spares, ending processes.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "catch.hpp"
#include "rondo/core/clock.hpp"
#include "rondo/core/error.hpp"
#include "rondo/core/phase.hpp"
#include "rondo/core/process.hpp"
#include "rondo/survive/attempts.hpp"
#include "rondo/survive/heartbeat.hpp"
#include "rondo/survive/hosts.hpp"
#include "rondo/survive/job.hpp"
#include "rondo/survive/roster.hpp"
#include "rondo/survive/watchdog.hpp"

using namespace rondo;
namespace fs = std::filesystem;

namespace {
struct Folder {
  std::string path = fs::temp_directory_path() / ("rondo-survive-" + std::to_string(getpid()));
  Folder() { fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }
};

constexpr double kLimit = 0.2;  // after 1.5 of which and a second a job stands still

// Processes that do nothing, and what they would say of themselves.
struct Ranks {
  std::vector<Beat> beats;
  std::vector<std::unique_ptr<HeartbeatFile>> files;

  Ranks(const std::string& folder, int count, bool survives) {
    for (int rank = 0; rank < count; ++rank) {
      Beat beat;
      beat.job = 77;
      beat.rank = rank;
      beat.pid = fork();
      if (beat.pid == 0) pause();
      beat.survives = survives ? 1 : 0;
      beat.limit_s = kLimit;
      beat.floor_s = 60;
      pid_scope().copy(beat.scope, sizeof beat.scope - 1);
      beats.push_back(beat);
      files.push_back(std::make_unique<HeartbeatFile>(folder, rank));
    }
    move_on();
  }
  ~Ranks() {
    for (const Beat& beat : beats) kill(beat.pid, SIGKILL), waitpid(beat.pid, nullptr, 0);
  }
  void write(int rank) {
    files[static_cast<std::size_t>(rank)]->write(beats[static_cast<std::size_t>(rank)]);
  }
  void move_on(std::initializer_list<int> ranks = {0, 1, 2}) {
    for (const int rank : ranks) ++beats[static_cast<std::size_t>(rank)].word, write(rank);
  }
  void end(std::initializer_list<int> ranks, Ending ending) {
    for (const int rank : ranks) beats[static_cast<std::size_t>(rank)].ending = ending, write(rank);
  }
  void die(std::initializer_list<int> ranks) const {
    for (const int rank : ranks) kill(beats[static_cast<std::size_t>(rank)].pid, SIGKILL);
  }
};

// What rank 1 says of itself to the watchdogs that are made here.
Beat word_of_rank_1(pid_t pid, Phase phase) {
  Beat beat;
  beat.job = JobName::of_environment().job;
  beat.rank = 1;
  beat.pid = pid;
  beat.word = std::uint64_t{3} << 32 | static_cast<std::uint64_t>(phase);  // in step 3
  pid_scope().copy(beat.scope, sizeof beat.scope - 1);
  return beat;
}

// Steps 0 to 3, of which the watchdog learns that no phase takes long.
void learn_to_be_quick() {
  for (int step = 0; step <= 3; ++step) {
    enter_step(step);
    enter(Phase::forward);
    std::this_thread::sleep_for(std::chrono::milliseconds(150));
  }
}

// What the job comes to within `seconds`, in which these ranks make progress.
Job::Verdict watch(Job& job, Ranks& ranks, double seconds, std::initializer_list<int> moving = {}) {
  for (const Deadline deadline(seconds);;) {
    ranks.move_on(moving);
    const Job::Verdict verdict = job.look();
    if (verdict.kind != Job::Verdict::running || deadline.passed()) return verdict;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}
}  // namespace

TEST_CASE("a position is one word that every entry changes") {
  const std::int64_t far = std::int64_t{1} << 31;
  for (const std::int64_t step : {std::int64_t{0}, std::int64_t{37}, far}) {
    enter_step(step);
    for (int i = 0; i < 5000; ++i) {  // more than the counter of entries holds
      const std::uint64_t before = position_word();
      enter(i % 2 == 0 ? Phase::forward : Phase::backward);
      REQUIRE(position_word() != before);
      REQUIRE(Position::of(position_word()).step == step);
    }
    enter_bucket();
    enter_bucket();
    enter(Phase::exchange);
    const Position at = Position::of(position_word());
    REQUIRE(at.step == step);
    REQUIRE(at.bucket == 2);
    REQUIRE(at.phase == Phase::exchange);
  }
  for (int i = 0; i < 5000; ++i) enter_bucket();  // wraps without touching its neighbours
  REQUIRE(Position::of(position_word()).step == far);
  REQUIRE(Position::of(position_word()).phase == Phase::exchange);
}

TEST_CASE("phases have names, and an order in a step") {
  for (int i = 0; i < kPhases; ++i)
    REQUIRE(phase_of(name_of(static_cast<Phase>(i))) == static_cast<Phase>(i));
  REQUIRE_FALSE(phase_of("nonsense"));
  REQUIRE(Position{8, 0, Phase::checkpoint}.progress() > Position{7, 0, Phase::sharing}.progress());
  REQUIRE(Position{8, 0, Phase::checkpoint}.progress() < Position{8, 0, Phase::loading}.progress());
}

TEST_CASE("limits learn what a phase takes") {
  PhaseLimits limits(2);
  const Position forward{5, 0, Phase::forward};
  REQUIRE(limits.limit_s(Phase::forward) == 20);  // never passed yet
  limits.began_at(5);
  limits.learn(forward, 0.01, {6, 0, Phase::forward});
  REQUIRE(limits.limit_s(Phase::forward) == 2);
  REQUIRE(limits.limit_s(Phase::optimizer) == 20);
  limits.learn(forward, 0.01, {7, 0, Phase::forward});
  REQUIRE(limits.limit_s(Phase::optimizer) == 2);    // too short to be seen, but two steps have passed it
  REQUIRE(limits.limit_s(Phase::checkpoint) == 20);  // disks may take their time
  limits.learn(forward, 1, {8, 0, Phase::forward});
  REQUIRE(limits.limit_s(Phase::forward) == 20);
  for (int i = 0; i < 10000; ++i) limits.learn(forward, 0.2, {9, 0, Phase::forward});
  REQUIRE(std::abs(limits.limit_s(Phase::forward) - 4) < 0.1);
  REQUIRE(PhaseLimits(0).limit_s(Phase::forward) == 0);
}

TEST_CASE("heartbeats are read as they were written, and nothing else is") {
  const Folder folder;
  REQUIRE_FALSE(read_beat(folder.path, 3));
  const HeartbeatFile file(folder.path, 3);
  REQUIRE_FALSE(read_beat(folder.path, 3));  // empty
  Beat beat;
  beat.rank = 3;
  beat.job = 77;
  beat.count = 5;
  file.write(beat);
  REQUIRE(read_beat(folder.path, 3)->job == 77);
  beat.rank = 4;
  file.write(beat);
  REQUIRE_FALSE(read_beat(folder.path, 3));  // another rank's
  beat.rank = 3;
  file.write(beat);
  note_outlived(folder.path, 78, 3);  // of another job
  REQUIRE(read_beat(folder.path, 3)->ending == Ending::none);
  note_outlived(folder.path, 77, 3);
  REQUIRE(read_beat(folder.path, 3)->ending == Ending::outlived);
  std::ofstream(folder.path + "/heartbeats/rank-0003") << std::string(500, 'x');
  REQUIRE_FALSE(read_beat(folder.path, 3));
  REQUIRE_THROWS_AS(HeartbeatFile("/proc/nowhere", 0), InputError);
}

TEST_CASE("a rank says at once that others go on without it") {
  const Folder folder;
  Watchdog watchdog(WatchdogOptions{.floor_s = 60}, folder.path, folder.path + "/log", 0, 2);
  const Deadline deadline(10);
  while (!read_beat(folder.path, 0) && !deadline.passed())  // its first record; the next follows 0.1 s later
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  watchdog.began_at(37, true);
  const auto beat = read_beat(folder.path, 0);
  REQUIRE(beat);
  CHECK(beat->survives == 1);
  CHECK(beat->first_step == 37);
}

TEST_CASE("a rank that was stopped right after a recovery is evicted by one that waits") {
  const Folder folder;
  const pid_t stopped = fork();
  if (stopped == 0) pause();
  kill(stopped, SIGSTOP);
  // It has gone on since then, but only to the forward pass of the same step.
  HeartbeatFile(folder.path, 1).write(word_of_rank_1(stopped, Phase::regrouping));
  const pid_t waiting = fork();
  if (waiting == 0) {
    Watchdog watchdog(WatchdogOptions{.floor_s = 0.5}, folder.path, folder.path + "/log", 0, 2);
    watchdog.began_at(0, true);
    learn_to_be_quick();
    enter(Phase::exchange);
    for (;;) pause();
  }
  int status = 0;
  const Deadline deadline(10);
  while (waitpid(stopped, &status, WNOHANG) == 0 && waitpid(waiting, nullptr, WNOHANG) == 0 &&
         !deadline.passed())
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
  CHECK(kill(waiting, SIGKILL) == 0);
  kill(stopped, SIGKILL);
  waitpid(waiting, nullptr, 0);
}

TEST_CASE("a rank that has waited long for one that is lost now has time to go on") {
  const Folder folder;
  const pid_t waiting = fork();
  if (waiting == 0) {
    Watchdog watchdog(WatchdogOptions{.floor_s = 1}, folder.path, folder.path + "/log", 0, 2);
    watchdog.began_at(0, true);
    learn_to_be_quick();
    enter(Phase::regrouping);
    Beat other = word_of_rank_1(getppid(), Phase::loading);  // it hangs, but its watchdog lives
    HeartbeatFile file(folder.path, 1);
    for (const Deadline deadline(2); !deadline.passed(); ++other.count) {
      file.write(other);
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    const int lost[] = {1};
    watchdog.lost(lost);
    std::this_thread::sleep_for(std::chrono::milliseconds(250));
    _exit(0);
  }
  int status = -1;
  waitpid(waiting, &status, 0);
  CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
}

TEST_CASE("the account survives a torn line") {
  const Folder folder;
  REQUIRE(read_attempts(folder.path).empty());
  Attempt attempt;
  attempt.number = 2;
  attempt.from_step = 30;
  attempt.lost = {1, 3};
  attempt.what = "rank 1 \"died\" \xff";
  append_attempt(folder.path, attempt);
  std::ofstream(folder.path + "/attempts.jsonl", std::ios::app)
      << "[1]\n{\"attempt\": \"x\"}\n{\"attempt\": 3, \"be";
  const auto read = read_attempts(folder.path);
  REQUIRE(read.size() == 1);
  REQUIRE(read[0].lost == std::vector<int>{1, 3});
  REQUIRE(read[0].from_step == 30);
  REQUIRE(table_of(read).find("rank 1 \"died\"") != std::string::npos);
}

TEST_CASE("hostfiles") {
  const Folder folder;
  const std::string path = folder.path + "/hosts";
  const auto write = [&](const std::string& text) { std::ofstream(path) << text; };
  write("# two\nnode1 slots=4\n\n  node2   # one\n");
  const auto hosts = read_hosts(path);
  REQUIRE(hosts.size() == 2);
  REQUIRE(slots_of(hosts) == 5);
  write_hosts(path, hosts);
  REQUIRE(read_hosts(path)[0].slots == 4);
  for (const char* bad : {"", "# none\n", "node1 slots=\n", "node1 slots=0\n", "node1 slots=2x\n",
                          "node1 4\n", "node1 slots=2 more\n"}) {
    write(bad);
    REQUIRE_THROWS_AS(read_hosts(path), InputError);
  }
}

TEST_CASE("only hosts that answer are kept") {
  const Folder folder;
  const std::string agent =
      folder.path + "/start";  // as mpirun --host NAME ...: "gone" refuses, "mute" hangs
  std::ofstream(agent) << "#!/bin/sh\ncase $2 in gone) exit 1;; mute) sleep 60;; esac\n";
  fs::permissions(agent, fs::perms::owner_all);
  const auto left = answering({{"localhost", 1}, {"gone", 1}, {"good", 2}, {"mute", 1}}, {agent}, 1);
  REQUIRE(left.size() == 2);
  REQUIRE(left[0].name == "localhost");
  REQUIRE(left[1].name == "good");
}

TEST_CASE("a spare takes over from each rank that is lost, one of its host if possible") {
  const std::vector<std::string> hosts = {"a", "a", "b", "b", "a", "b"};
  Roster roster(hosts, 2);
  CHECK(roster.active() == 4);
  CHECK((!roster.spare(3) && roster.spare(4) && roster.spare(5)));
  CHECK(roster.lose(std::vector{2}) == "spare rank 5 takes over from rank 2");
  // The ranks are 0 1 3 4 5 of the start now.
  CHECK(roster.active() == 4);
  CHECK((roster.spare(3) && !roster.spare(4)));
  CHECK(roster.place(4) == 3);
  CHECK(roster.lose(std::vector{5, 0}) == "spare rank 4 takes over from rank 0");
  CHECK(roster.size() == 3);
  CHECK(roster.active() == 3);

  Roster slow(hosts, 1);
  CHECK(slow.retire(2) == "rank 2 is a spare from now on; spare rank 5 takes its place");
  CHECK((slow.spare(2) && !slow.spare(5)));
  CHECK(slow.retire(2) == "rank 3 is a spare from now on");  // it was the third that was active
  CHECK(slow.active() == 4);
  CHECK(slow.lose(std::vector{0}) == "spare rank 2 takes over from rank 0");  // better than nobody
  CHECK(slow.retire(0) == "rank 1 is a spare from now on");

  Roster other(hosts, 3);
  CHECK(Roster(hosts, 2).retire(0) == "rank 0 is a spare from now on; spare rank 4 takes its place");
  CHECK(other.lose(std::vector{3, 0}) == "spare rank 4 takes over from rank 0; rank 3 was a spare");
  CHECK(other.lose(std::vector{1}) == "spare rank 5 takes over from rank 1");  // of the other host
  CHECK(Roster(hosts, 5).active() == 1);
  CHECK_THROWS_AS(Roster(hosts, 6), InputError);
}

TEST_CASE("a job is broken by a loss that its ranks do not survive") {
  const Folder folder;
  for (const bool survives : {false, true}) {
    CAPTURE(survives);
    Ranks ranks(folder.path, 3, survives);
    Job job({{"sleep", "60"}, folder.path, 3, {77, 0}});
    CHECK(watch(job, ranks, 0.1, {0, 1, 2}).kind == Job::Verdict::running);
    ranks.beats[1].limit_s = 60;  // as while it writes a checkpoint, for which the others wait
    ranks.move_on({1});
    CHECK(watch(job, ranks, 1.5 * kLimit + 1.2).kind == Job::Verdict::running);
    ranks.die({1});
    const Job::Verdict at_once = watch(job, ranks, 0.3);
    CHECK((at_once.kind == Job::Verdict::broken) == !survives);
    const Job::Verdict verdict = watch(job, ranks, 1.5 * kLimit + 2);
    CHECK(verdict.kind == Job::Verdict::broken);  // the others stand still
    CHECK(verdict.lost == std::vector{1});
    job.send(SIGTERM);
  }
}

TEST_CASE("what the others say who went on counts") {
  const Folder folder;
  Ranks ranks(folder.path, 3, true);
  Job job({{"sleep", "60"}, folder.path, 3, {77, 0}});
  watch(job, ranks, 0.1, {0, 1, 2});
  ranks.end({1}, Ending::crashed);
  ranks.die({1});
  watch(job, ranks, 0.1, {0, 2});
  note_outlived(folder.path, 77, 1);
  CHECK(watch(job, ranks, 0.3, {0, 2}).kind == Job::Verdict::running);
  SECTION("they have trained") {
    ranks.end({0, 2}, Ending::finished);
    ranks.die({0, 2});
    CHECK(watch(job, ranks, 1.5 * kLimit + 1.5).kind == Job::Verdict::running);  // mpirun may take its time
    CHECK(job.common_ending() == Ending::finished);
  }
  SECTION("they do not agree") {
    ranks.end({0}, Ending::finished);
    watch(job, ranks, 0.1);
    CHECK(job.common_ending() == Ending::none);
  }
  SECTION("they die, too") {
    ranks.die({0, 2});
    const Job::Verdict verdict = watch(job, ranks, 0.3);
    CHECK(verdict.kind == Job::Verdict::broken);
    CHECK(verdict.lost == std::vector{0, 2});
  }
  SECTION("they stand still") {
    const Job::Verdict verdict = watch(job, ranks, 1.5 * kLimit + 2);
    CHECK(verdict.kind == Job::Verdict::broken);
    CHECK(verdict.lost.empty());
  }
  job.send(SIGTERM);
}

TEST_CASE("a stopped process is killed for sure") {
  const pid_t child = fork();
  if (child == 0) {
    raise(SIGSTOP);
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, WUNTRACED) == child);
  REQUIRE(WIFSTOPPED(status));
  const Process process(child);
  REQUIRE_FALSE(process.ended());
  const Process* const all[] = {&process};
  REQUIRE(kill_for_sure(all, 10));
  REQUIRE(process.ended());  // a zombie counts as dead
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WTERMSIG(status) == SIGKILL);
  REQUIRE(Process(child).ended());
}
