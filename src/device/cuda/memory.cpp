#include "memory.hpp"

#include "check.hpp"
#include "rondo/core/error.hpp"

namespace rondo {
namespace {

[[noreturn]] void out_of_memory(std::size_t bytes) {
  std::size_t free = 0, total = 0;
  cudaMemGetInfo(&free, &total);
  constexpr double kMib = 1 << 20;
  input_error(
      "the GPU is out of memory: {:.1f} MiB were asked for and {:.1f} of {:.1f} MiB are free; a smaller "
      "train.global_batch or more train.micro_batches need less",
      static_cast<double>(bytes) / kMib, static_cast<double>(free) / kMib, static_cast<double>(total) / kMib);
}

}  // namespace

Stream::Stream() {
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "creating a stream");
  groups_ = std::make_unique<LaunchGroups>(stream_);
}
Stream::~Stream() {
  groups_.reset();
  cudaStreamDestroy(stream_);
}
void Stream::wait() const { check(cudaStreamSynchronize(*this), "waiting for the GPU"); }

Event::Event(Kind kind) {
  check(cudaEventCreateWithFlags(&event_, kind == Kind::timed ? cudaEventDefault : cudaEventDisableTiming),
        "creating an event");
}
Event::~Event() { cudaEventDestroy(event_); }
void Event::record(cudaStream_t stream) { check(cudaEventRecord(event_, stream), "recording an event"); }
double Event::seconds_since(const Event& earlier) const {
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, earlier.event_, event_), "reading the time of an event");
  return 1e-3 * static_cast<double>(milliseconds);
}
void Event::wait() const { check(cudaEventSynchronize(event_), "waiting for the GPU"); }
void Event::order_before(const Stream& stream) const {
  check(cudaStreamWaitEvent(stream, event_, 0), "ordering two streams");
}

void Memory::allocate(std::size_t bytes) {
  if (bytes == 0) return;
  const cudaError_t result =
      kind_ == Kind::device ? cudaMalloc(&data_, bytes) : cudaMallocHost(&data_, bytes);
  if (result == cudaErrorMemoryAllocation && kind_ == Kind::device) {
    cudaGetLastError();
    out_of_memory(bytes);
  }
  check(result, kind_ == Kind::device ? "allocating memory" : "allocating pinned host memory");
  bytes_ = bytes;
}

// No check: a destructor, and at the end of a process CUDA may be gone already.
void Memory::release() {
  if (data_ == nullptr) return;
  if (kind_ == Kind::device)
    cudaFree(data_);
  else
    cudaFreeHost(data_);
  data_ = nullptr;
  bytes_ = 0;
}

void* PinnedMemory::do_allocate(std::size_t bytes, std::size_t) {
  void* memory = nullptr;
  check(cudaMallocHost(&memory, bytes), "allocating pinned host memory");
  return memory;
}

void PinnedMemory::do_deallocate(void* memory, std::size_t, std::size_t) { cudaFreeHost(memory); }

void* Memory::need(std::size_t bytes, const Stream& stream) {
  if (bytes > bytes_) {
    stream.wait();
    release();
    allocate(bytes + bytes / 2);  // so that slow growth is rare
  }
  return data_;
}

}  // namespace rondo
