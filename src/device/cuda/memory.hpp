// Memory and the stream of a card as objects: what is taken is given back.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <memory>
#include <memory_resource>
#include <utility>

#include "launch_groups.hpp"

namespace rondo {

/// A queue of work. It does not wait for the legacy default stream.
class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  /// For a kernel or product, a fill or copy within the card: it may wait for others and go with them.
  cudaStream_t grouped() const {
    groups_->begin();
    return stream_;
  }
  /// For anything else: what waits goes first.
  operator cudaStream_t() const {  // NOLINT: a Stream is one
    groups_->send();
    return stream_;
  }
  void send() const { groups_->send(); }
  void wait() const;  ///< until all that was queued is done

 private:
  cudaStream_t stream_ = nullptr;
  std::unique_ptr<LaunchGroups> groups_;
};

/// A point in a stream's work.
class Event {
 public:
  enum class Kind { order, timed };
  explicit Event(Kind kind = Kind::order);
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record(cudaStream_t stream);
  double seconds_since(const Event& earlier) const;  ///< both timed and done
  void wait() const;                                 ///< the host, until what was recorded is done
  void order_before(const Stream& stream) const;     ///< what is queued there next waits for it

 private:
  cudaEvent_t event_ = nullptr;
};

/// Memory of a kind, aligned to 256 bytes or more; not zeroed.
class Memory {
 public:
  enum class Kind { device, pinned };
  explicit Memory(Kind kind, std::size_t bytes = 0) : kind_(kind) { allocate(bytes); }
  ~Memory() { release(); }
  Memory(Memory&& other) noexcept
      : kind_(other.kind_), data_(std::exchange(other.data_, nullptr)), bytes_(other.bytes_) {}
  Memory& operator=(Memory&&) = delete;

  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  /// At least that many bytes; what was there is lost. Waits for the stream if memory is exchanged.
  void* need(std::size_t bytes, const Stream& stream);

 private:
  void allocate(std::size_t bytes);
  void release();

  Kind kind_;
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// Pinned host memory for containers; each allocation is the runtime's own, so keep them.
class PinnedMemory : public std::pmr::memory_resource {
 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override;
  void do_deallocate(void* memory, std::size_t bytes, std::size_t alignment) override;
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};

}  // namespace rondo
