// Cuts an arena into buckets at blocks and tells which have become complete.
#pragma once

#include <algorithm>
#include <vector>

#include "rondo/comm/transport.hpp"
#include "rondo/core/phase.hpp"
#include "rondo/device/tensor.hpp"
#include "rondo/exchange/exchange.hpp"

namespace rondo {

/// Of one bucket, where `words` words travel, `shrunk` times as many as without compression.
inline std::int64_t bucket_bytes(const ExchangeOptions& options, const Transport& transport,
                                 std::size_t words, double shrunk = 1) {
  const std::int64_t whole = options.bucket_bytes > 0 ? options.bucket_bytes : kBucketBytes;
  const auto bytes = static_cast<std::int64_t>(static_cast<double>(whole) * shrunk);
  if (options.bucket_bytes > 0) return bytes;
  return static_cast<std::int64_t>(
      transport.bucket_bytes(words * sizeof(std::uint32_t), static_cast<std::size_t>(bytes)));
}

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
