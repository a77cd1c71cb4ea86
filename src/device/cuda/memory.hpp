// Memory and the stream of a card as objects: what is taken is given back.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <utility>

namespace rondo {

/// The stream on which a backend queues all its work. It does not wait for the legacy default stream.
class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  operator cudaStream_t() const { return stream_; }  // NOLINT: a Stream is one
  void wait() const;                                 ///< until all that was queued is done

 private:
  cudaStream_t stream_ = nullptr;
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

}  // namespace rondo
