#include "rondo/train/signals.hpp"

#include <atomic>
#include <csignal>

#include "rondo/train/trainer.hpp"

namespace rondo {
namespace {

std::atomic<std::uint32_t> pending{kNoRequest};
static_assert(std::atomic<std::uint32_t>::is_always_lock_free,
              "signal handlers may only touch lock-free atomics");

void on_signal(int number) {
  const std::uint32_t asked = number == SIGUSR1 ? kCheckpoint : kCheckpointAndStop;
  if (number == SIGINT && pending.load() == kCheckpointAndStop) {  // asked twice: the user will not wait
    std::signal(SIGINT, SIG_DFL);
    std::raise(SIGINT);
  }
  if (pending.load() < asked) pending.store(asked);
}

}  // namespace

void install_signal_requests() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  std::signal(SIGXFSZ, SIG_IGN);  // a limit on file sizes is a failed write, with a line that says so
  for (const int number : {SIGUSR1, SIGUSR2, SIGTERM, SIGINT}) sigaction(number, &action, nullptr);
}

std::uint32_t take_request() { return pending.exchange(kNoRequest); }

}  // namespace rondo
