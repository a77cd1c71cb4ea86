/// How a rank waits: a few pauses, then it gives the core away, and looks round every millisecond.
#pragma once

#include <sched.h>
#include <time.h>

#include "rondo/core/clock.hpp"

namespace rondo {

class Patience {
 public:
  explicit Patience(double timeout_s) : timeout_s_(timeout_s) {}

  /// Waits a moment. True about once a millisecond: time to look at the peers and the deadline.
  bool pause() {
    // Few pauses only: with more ranks than cores the rank that is waited for may need this core.
    if (++pauses_ <= kPauses) {
#if defined(__x86_64__)
      __builtin_ia32_pause();
#elif defined(__aarch64__)
      asm volatile("yield");
#endif
      return false;
    }
    const double now = now_s();
    if (pauses_ == kPauses + 1) {
      start_ = now;
      next_look_ = now + kLookEvery;
    }
    if (now - start_ < kSleepAfter) {
      sched_yield();
    } else {
      const timespec moment{0, 50'000};
      nanosleep(&moment, nullptr);
    }
    if (now < next_look_) return false;
    next_look_ = now + kLookEvery;
    return true;
  }

  double waited() const { return pauses_ <= kPauses ? 0 : now_s() - start_; }
  bool expired() const { return waited() > timeout_s_; }
  /// Something happened: the deadline counts anew.
  void moved() { pauses_ = 0; }

 private:
  static constexpr int kPauses = 50;
  static constexpr double kLookEvery = 1e-3, kSleepAfter = 2e-3;  // seconds
  double timeout_s_;
  long pauses_ = 0;
  double start_ = 0, next_look_ = 0;
};

}  // namespace rondo
