// Host numbers on their way to the card and results on their way back, through pinned memory: only from there
// does a copy run beside the host.
#pragma once

#include <cstdint>
#include <vector>

#include "check.hpp"
#include "memory.hpp"

namespace rondo {

/// A ring of slots of pinned and device memory.
class Staging {
 public:
  Staging(const Stream& stream, int slots);
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  /// Queues a copy of `host`, which may change at once, to `device`, or, if that is null, to the slot's own
  /// memory, which stays until `slots` calls later. Returns where the copy will be.
  void* send(const void* host, std::size_t bytes, void* device = nullptr);

  template <class T>
  const T* table(const T* host, std::int64_t n) {
    return static_cast<const T*>(send(host, static_cast<std::size_t>(n) * sizeof(T)));
  }

 private:
  struct Slot {
    Memory pinned{Memory::Kind::pinned}, device{Memory::Kind::device};
    cudaEvent_t copied = nullptr;  // the pinned memory is free again
  };
  const Stream& stream_;
  std::vector<Slot> slots_;
  std::size_t next_ = 0;
};

/// One result at a time: a place on the card, then its copy for the host.
class Results {
 public:
  explicit Results(const Stream& stream) : stream_(stream) {}

  template <class T>
  T* place(std::int64_t n) {
    return static_cast<T*>(device_.need(static_cast<std::size_t>(n) * sizeof(T), stream_));
  }
  /// Waits for the stream and returns the first n numbers of the place, valid until the next call.
  template <class T>
  const T* fetch(std::int64_t n) {
    return static_cast<const T*>(fetch_bytes(static_cast<std::size_t>(n) * sizeof(T)));
  }

 private:
  const void* fetch_bytes(std::size_t bytes);

  const Stream& stream_;
  Memory device_{Memory::Kind::device}, pinned_{Memory::Kind::pinned};
};

}  // namespace rondo
