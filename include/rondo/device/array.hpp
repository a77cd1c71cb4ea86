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
  void get(std::span<T> host) { backend_->copy_out(host.data(), data(), host.size_bytes()); }

 private:
  Backend* backend_;
  std::size_t size_;
  std::unique_ptr<Buffer> buffer_;
};

}  // namespace rondo
