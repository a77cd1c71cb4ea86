/// Time: a steady clock in seconds, and deadlines for everything that waits.
#pragma once

namespace rondo {

/// Seconds on a steady clock with an arbitrary origin.
double now_s();

class Deadline {
 public:
  explicit Deadline(double seconds) : end_(now_s() + seconds) {}
  bool passed() const { return now_s() > end_; }

 private:
  double end_;
};

}  // namespace rondo
