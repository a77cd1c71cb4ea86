#include "rondo/survive/watchdog.hpp"

#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "crash_notes.hpp"
#include "rondo/core/clock.hpp"
#include "rondo/core/error.hpp"
#include "rondo/core/log.hpp"
#include "rondo/core/process.hpp"

namespace rondo {
namespace {

// Seconds.
constexpr double kTick = 0.1;
constexpr double kSilent = 1.5 * kTick;  // such a rank may not be where it last said it was

template <std::size_t n>
void copy_text(char (&to)[n], const std::string& text) {
  text.copy(to, n - 1);
}

}  // namespace

struct Watchdog::Impl {
  const std::string run_directory;
  const double floor_s;
  HeartbeatFile file;
  Beat beat;
  PhaseLimits limits;
  pthread_t watched = pthread_self();
  CrashNotes notes;

  struct Peer {
    std::uint32_t count = 0;
    double silent_s = 0;
    bool dead = false, lost = false;  // lost: and the others have gone on without it
  };
  std::vector<Peer> peers;
  std::uint32_t looks = 0;
  bool waits = false;  // said that this rank waits for another

  std::mutex mutex;  // guards `beat` and what follows
  std::condition_variable changed;
  bool evicts = false, stop = false;
  std::thread thread;

  Impl(const WatchdogOptions& options, const std::string& directory, const std::string& log, int rank,
       int ranks)
      : run_directory(directory),
        floor_s(options.floor_s),
        file(directory, rank),
        limits(options.floor_s),
        notes(log, file, beat),
        peers(static_cast<std::size_t>(ranks)) {
    beat.job = JobName::of_environment().job;
    beat.rank = rank;
    beat.ranks = ranks;
    beat.pid = getpid();
    beat.floor_s = floor_s;
    gethostname(beat.host, sizeof beat.host - 1);
    copy_text(beat.scope, pid_scope());
    beat.word = position_word();
  }

  void loop() {
    std::unique_lock lock(mutex);
    double last = now_s();
    while (!stop) {
      if (beat.ending == Ending::none) tick(std::min(now_s() - last, 3 * kTick));
      last = now_s();
      changed.wait_for(lock, std::chrono::duration<double>(kTick), [&] { return stop; });
    }
  }

  // `seconds` since the last one; a process that stood still does not blame its training thread.
  void tick(double seconds) {
    const std::uint64_t word = position_word();
    if (word != beat.word) {
      limits.learn(beat.position(), beat.here_s, Position::of(word));
      beat.word = word;
      beat.here_s = 0;
      for (Peer& peer : peers) peer = {0, 0, peer.dead, peer.lost};
      waits = false;
    } else {
      beat.here_s += seconds;
    }
    const std::uint32_t before = std::exchange(looks, looks_round.load(std::memory_order_relaxed));
    beat.waits = looks != before ? 1 : 0;
    beat.limit_s = limits.limit_s(beat.position().phase);
    ++beat.count;
    file.write(beat);
    if (beat.limit_s > 0 && beat.here_s > beat.limit_s / 2) look_for_laggard(seconds);
  }

  void look_for_laggard(double seconds) {
    std::optional<Beat> behind;
    std::int64_t least = beat.standing();
    for (int r = 0; r < beat.ranks; ++r) {
      Peer& peer = peers[static_cast<std::size_t>(r)];
      const auto other = r == beat.rank || peer.lost ? std::nullopt : read_beat(run_directory, r);
      if (!other || other->job != beat.job) continue;
      if (evicts && here(*other) && Process(other->pid).ended()) {
        if (!std::exchange(peer.dead, true)) beat.here_s = 0;  // time for the recovery
        continue;
      }
      peer.silent_s = other->count == peer.count ? peer.silent_s + seconds : 0;
      peer.count = other->count;
      if (evicts && here(*other) && beat.here_s > beat.limit_s && peer.silent_s > floor_s) {
        log_line(
            fmt::format("watchdog: {} in {} gives no sign of life: killed", other->who(), other->where()));
        Process(other->pid).send(SIGKILL);
        beat.here_s = 0;
        continue;
      }
      const std::int64_t standing = peer.silent_s > kSilent ? -1 : other->standing();
      if (standing < least) behind = other, least = standing;
    }
    const bool too_long = beat.here_s > beat.limit_s;
    if (!behind && too_long)
      return die(fmt::format("{} has made no progress for {:.1f} s in {} (limit {:.1f} s): ends itself",
                             beat.who(), beat.here_s, beat.where(), beat.limit_s));
    if (!behind) return;
    const std::string laggard = fmt::format("{} in {}", behind->who(), behind->where());
    if (too_long && peers[static_cast<std::size_t>(behind->rank)].silent_s > floor_s)
      return die(
          fmt::format("{} gives no sign of life: {} ends itself in {}", laggard, beat.who(), beat.where()));
    if (!waits)
      log_line(fmt::format("in {} for {:.1f} s, waiting for {}", beat.where(), beat.here_s, laggard));
    waits = true;
  }

  bool here(const Beat& other) const { return std::string_view(other.scope) == beat.scope; }

  void die(const std::string& why) {
    beat.ending = Ending::hung;
    file.write(beat);
    log_line("watchdog: " + why + "; its training thread is at:");
    std::fputs(("rondo: watchdog: " + why + "\n").c_str(), stderr);
    notes.stack_of(watched);
    std::abort();
  }
};

Watchdog::Watchdog(const WatchdogOptions& options, const std::string& run_directory, const std::string& log,
                   int rank, int ranks)
    : impl_(std::make_unique<Impl>(options, run_directory, log, rank, ranks)) {
  if (std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr) prctl(PR_SET_PDEATHSIG, SIGKILL);
  impl_->thread = std::thread([this] { impl_->loop(); });
}

Watchdog::~Watchdog() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stop = true;
  }
  impl_->changed.notify_all();
  impl_->thread.join();
}

void Watchdog::began_at(std::int64_t step, bool evicts) {
  const std::lock_guard lock(impl_->mutex);
  impl_->evicts = evicts;
  impl_->beat.survives = evicts ? 1 : 0;
  impl_->beat.first_step = step;
  impl_->limits.began_at(step);
  // At once: `rondo launch` would take an early death for the end of a job that goes on.
  impl_->file.write(impl_->beat);
}

void Watchdog::lost(std::span<const int> ranks) {
  const std::lock_guard lock(impl_->mutex);
  if (!ranks.empty()) impl_->beat.here_s = 0;  // this rank waited for them, and is behind nobody now
  for (const int rank : ranks) {
    impl_->peers[static_cast<std::size_t>(rank)].lost = true;
    note_outlived(impl_->run_directory, impl_->beat.job, rank);
  }
}

void Watchdog::end(Ending ending, int code) {
  const std::lock_guard lock(impl_->mutex);
  impl_->beat.ending = ending;
  impl_->beat.code = code;
  impl_->beat.word = position_word();
  impl_->file.write(impl_->beat);
}

}  // namespace rondo
