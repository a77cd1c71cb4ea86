// Cuts an arena into buckets at blocks and tells which have become complete.
#pragma once

#include <algorithm>
#include <vector>

#include "rondo/comm/transport.hpp"
#include "rondo/core/phase.hpp"
#include "rondo/device/tensor.hpp"

namespace rondo {

class Buckets {
 public:
  Buckets(std::int64_t values, std::int64_t bucket_bytes)
      : values_(values), size_(std::max<std::int64_t>(1, bucket_bytes / 4 / kBlock) * kBlock) {}

  void begin() { sent_ = 0; }
  std::vector<WordRange> all() const {
    std::vector<WordRange> ranges;
    for (std::int64_t at = 0; at < values_; at += size_)
      ranges.push_back(
          {static_cast<std::size_t>(at), static_cast<std::size_t>(std::min(at + size_, values_))});
    return ranges;
  }
  std::int64_t bucket_of(std::int64_t block) const { return block * kBlock / size_; }
  /// Calls start(range) for every bucket that lies before `end` and has not been started.
  template <class Start>
  void ready(std::int64_t end, Start start) {
    while (sent_ < values_) {
      const std::int64_t next = std::min(sent_ + size_, values_);
      if (next > end) return;
      enter_bucket();
      start(WordRange{static_cast<std::size_t>(sent_), static_cast<std::size_t>(next)});
      sent_ = next;
    }
  }

 private:
  std::int64_t values_, size_, sent_ = 0;
};

}  // namespace rondo
