#include "staging.hpp"

#include <cstring>

namespace rondo {

Staging::Staging(const Stream& stream, int slots) : stream_(stream), slots_(static_cast<std::size_t>(slots)) {
  for (Slot& slot : slots_)
    check(cudaEventCreateWithFlags(&slot.copied, cudaEventDisableTiming), "creating an event");
}

Staging::~Staging() {
  for (Slot& slot : slots_)
    if (slot.copied != nullptr) cudaEventDestroy(slot.copied);
}

void* Staging::send(const void* host, std::size_t bytes, void* device) {
  Slot& slot = slots_[next_];
  next_ = (next_ + 1) % slots_.size();
  if (device == nullptr) device = slot.device.need(bytes, stream_);
  if (bytes == 0) return device;
  check(cudaEventSynchronize(slot.copied), "waiting for a copy to the GPU");
  std::memcpy(slot.pinned.need(bytes, stream_), host, bytes);
  check(cudaMemcpyAsync(device, slot.pinned.data(), bytes, cudaMemcpyHostToDevice, stream_),
        "copying to the GPU");
  check(cudaEventRecord(slot.copied, stream_), "recording an event");
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
