#include "crash_notes.hpp"

#include <execinfo.h>
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <thread>

#include "rondo/core/clock.hpp"

namespace rondo {
namespace {

constexpr int kCrashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
constexpr int kFrames = 64;

// Handlers have no arguments of ours.
int log_fd = -1;
const HeartbeatFile* beat_file = nullptr;
const Beat* last_beat = nullptr;
struct sigaction before[std::size(kCrashes)];
struct sigaction before_stack;
std::atomic<bool> stack_written{false};

int stack_signal() { return SIGRTMIN + 7; }

void write_stack() {
  void* frames[kFrames];
  backtrace_symbols_fd(frames, backtrace(frames, kFrames), log_fd);
}

void on_stack_signal(int) {
  const int error = errno;
  write_stack();
  stack_written.store(true);
  errno = error;
}

void on_crash(int number) {
  if (last_beat->ending == Ending::none) {
    Beat last = *last_beat;
    last.ending = Ending::crashed;
    last.code = number;
    last.word = position_word();
    beat_file->write(last);
    write_stack();
  }
  for (std::size_t i = 0; i < std::size(kCrashes); ++i)
    if (kCrashes[i] == number) sigaction(number, &before[i], nullptr);
  raise(number);  // delivered when this handler returns
}

}  // namespace

CrashNotes::CrashNotes(const std::string& log, const HeartbeatFile& beats, const Beat& beat) {
  log_fd = open(log.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  beat_file = &beats;
  last_beat = &beat;
  void* frame[1];
  backtrace(frame, 1);  // the first call loads a library, which a handler must not
  struct sigaction action {};
  action.sa_handler = on_stack_signal;
  action.sa_flags = SA_RESTART;
  sigaction(stack_signal(), &action, &before_stack);
  action.sa_handler = on_crash;
  for (std::size_t i = 0; i < std::size(kCrashes); ++i) sigaction(kCrashes[i], &action, &before[i]);
}

CrashNotes::~CrashNotes() {
  for (std::size_t i = 0; i < std::size(kCrashes); ++i) sigaction(kCrashes[i], &before[i], nullptr);
  sigaction(stack_signal(), &before_stack, nullptr);
  close(log_fd);
}

void CrashNotes::stack_of(pthread_t thread) const {
  stack_written.store(false);
  if (pthread_kill(thread, stack_signal()) != 0) return;
  const Deadline deadline(1);
  while (!stack_written.load() && !deadline.passed())
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

}  // namespace rondo
