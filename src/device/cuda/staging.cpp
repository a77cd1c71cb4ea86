#include "staging.hpp"

#include <cstring>

namespace rondo {

void* Staging::send(const void* host, std::size_t bytes, void* device) {
  Slot& slot = slots_[next_];
  next_ = (next_ + 1) % slots_.size();
  if (device == nullptr) device = slot.device.need(bytes, stream_);
  if (bytes == 0) return device;
  slot.copied.wait();
  std::memcpy(slot.pinned.need(bytes, stream_), host, bytes);
  check(cudaMemcpyAsync(device, slot.pinned.data(), bytes, cudaMemcpyHostToDevice, stream_),
        "copying to the GPU");
  slot.copied.record(stream_);
  return device;
}

void PinnedResult::clear() {
  check(cudaMemsetAsync(device_.data(), 0xff, device_.bytes(), stream_), "clearing a flag");
}

unsigned long long PinnedResult::fetch() {
  check(cudaMemcpyAsync(pinned_.data(), device_.data(), pinned_.bytes(), cudaMemcpyDeviceToHost, stream_),
        "copying from the GPU");
  stream_.wait();
  return *static_cast<const unsigned long long*>(pinned_.data());
}

}  // namespace rondo
