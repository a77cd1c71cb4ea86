// Host numbers on their way to the card, and one on its way back, through pinned memory: only from there does
// a copy run beside the host.
#pragma once

#include <cstdint>
#include <vector>

#include "check.hpp"
#include "memory.hpp"

namespace rondo {

/// A ring of slots of pinned and device memory.
class Staging {
 public:
  Staging(const Stream& stream, int slots) : stream_(stream), slots_(static_cast<std::size_t>(slots)) {}

  /// Queues a copy of `host`, which may change at once, to `device`, or, if that is null, to the slot's own
  /// memory, which stays until `slots` calls later. Returns where the copy will be.
  void* send(const void* host, std::size_t bytes, void* device = nullptr);

 private:
  struct Slot {
    Memory pinned{Memory::Kind::pinned}, device{Memory::Kind::device};
    Event copied;  // the pinned memory is free again
  };
  const Stream& stream_;
  std::vector<Slot> slots_;
  std::size_t next_ = 0;
};

/// One number that kernels lower from kNone and the host waits for.
class PinnedResult {
 public:
  static constexpr auto kNone = ~0ull;

  explicit PinnedResult(const Stream& stream) : stream_(stream) { clear(); }
  void clear();  ///< queues: kNone again
  unsigned long long* on_card() { return static_cast<unsigned long long*>(device_.data()); }
  unsigned long long fetch();  ///< waits for the stream

 private:
  const Stream& stream_;
  Memory device_{Memory::Kind::device, sizeof(unsigned long long)};
  Memory pinned_{Memory::Kind::pinned, sizeof(unsigned long long)};
};

}  // namespace rondo
