/// Numbers in device memory that belong together, with their way to the host and back.
#pragma once

#include <span>
#include <vector>

#include "rondo/device/backend.hpp"

namespace rondo {

/// n values of T, zeroed at first. Copies wait for what the backend was given before.
template <class T>
class DeviceArray {
 public:
  DeviceArray(Backend& backend, std::size_t n)
      : backend_(&backend), size_(n), buffer_(backend.allocate(n * sizeof(T))) {}

  T* data() { return static_cast<T*>(buffer_->data()); }
  std::size_t size() const { return size_; }
  void clear() { backend_->clear(data(), size_ * sizeof(T)); }
  void put(std::span<const T> host) { backend_->copy_in(data(), host.data(), host.size_bytes()); }
  std::vector<T> get() {
    std::vector<T> host(size_);
    get(host);
    return host;
  }
  void get(std::span<T> host) { backend_->copy_out(host.data(), data(), host.size_bytes()); }

 private:
  Backend* backend_;
  std::size_t size_;
  std::unique_ptr<Buffer> buffer_;
};

/// Host numbers as a device sees them: in place where it reads host memory, else a copy, whose memory is kept
/// for the next ones.
class DeviceView {
 public:
  explicit DeviceView(Backend& backend) : backend_(&backend) {}

  /// `host` must not change until the work that reads it is done.
  real* of(std::span<const real> host) { return see(host, &Backend::copy_in); }
  /// The same by Backend::upload(): nothing queued may still read what was here.
  real* ahead(std::span<const real> host) { return see(host, &Backend::upload); }

 private:
  real* see(std::span<const real> host, void (Backend::*copy)(void*, const void*, std::size_t)) {
    if (backend_->reads_host_memory()) return const_cast<real*>(host.data());
    if (memory_ == nullptr || memory_->bytes() < host.size_bytes())
      memory_ = backend_->allocate(host.size_bytes());
    (backend_->*copy)(memory_->data(), host.data(), host.size_bytes());
    return static_cast<real*>(memory_->data());
  }

  Backend* backend_;
  std::unique_ptr<Buffer> memory_;
};

}  // namespace rondo
