/// Time: a steady clock in seconds, and deadlines for everything that waits.
#pragma once

#include <chrono>

namespace rondo {

/// Seconds on a steady clock with an arbitrary origin.
inline double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

class Deadline {
 public:
  explicit Deadline(double seconds) : end_(now_s() + seconds) {}
  bool passed() const { return now_s() > end_; }

 private:
  double end_;
};

}  // namespace rondo
