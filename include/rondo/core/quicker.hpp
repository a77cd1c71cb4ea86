/// Which of two ways to the same result is the quicker one, here and now.
#pragma once

#include <algorithm>
#include <cstdint>

namespace rondo {

/// For work that comes again and again: the way that took less time of late, and every kTry-th time the other
/// one, because what made it slow may pass. Both must give the same bits. One of each rank, not shared.
class Quicker {
 public:
  static constexpr std::int64_t kTry = 32;

  /// 0 or 1: the way to take now.
  int way() const {
    const int better = seconds_[1] < seconds_[0] ? 1 : 0;  // one that is not known took no time
    return count_ % kTry == kTry - 1 ? 1 - better : better;
  }
  /// How long that took.
  void took(double seconds) {
    double& usual = seconds_[way()];
    // Work may be held up by chance, but is never quick by chance.
    usual = usual == 0 ? seconds : std::min(seconds, usual + (seconds - usual) / 4);
    ++count_;
  }

 private:
  double seconds_[2] = {0, 0};
  std::int64_t count_ = 0;
};

}  // namespace rondo
