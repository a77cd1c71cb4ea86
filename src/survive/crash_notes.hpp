// What can still be said from a signal handler: the stack into the log, and a last heartbeat.
#pragma once

#include <pthread.h>

#include <string>

#include "rondo/survive/heartbeat.hpp"

namespace rondo {

class CrashNotes {
 public:
  /// From now on a crash is noted in `log` and in `beats` before it takes its course.
  CrashNotes(const std::string& log, const HeartbeatFile& beats, const Beat& beat);
  ~CrashNotes();  ///< as it was before
  CrashNotes(const CrashNotes&) = delete;
  CrashNotes& operator=(const CrashNotes&) = delete;

  /// Appends another thread's stack to the log; waits at most a second for it.
  void stack_of(pthread_t thread) const;
};

}  // namespace rondo
