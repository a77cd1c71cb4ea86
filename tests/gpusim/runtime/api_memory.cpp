// Allocation, copies and fills.
#include <cuda_runtime_api.h>

#include <cstring>

#include "report.hpp"
#include "runtime/config.hpp"
#include "runtime/images.hpp"
#include "runtime/pinned.hpp"
#include "runtime/runtime.hpp"
#include "runtime/use.hpp"

namespace gpusim {
namespace {

unsigned allocations = 0;

cudaError_t allocate(void** p, size_t size, int device) {
  *p = nullptr;
  if (size == 0) return cudaSuccess;
  watch_faults();
  if (used_memory(device) + size > config().memory) return cudaErrorMemoryAllocation;
  add_used_memory(device, static_cast<ptrdiff_t>(size));
  Allocation* a =
      memory().add_device(size, device, MemoryKind::device, "allocation " + std::to_string(++allocations));
  *p = reinterpret_cast<void*>(a->base);
  return cudaSuccess;
}

// The start of a live device allocation, or an error by name.
Allocation* owned(void* p, const char* who) {
  auto address = reinterpret_cast<uint64_t>(p);
  Allocation* a = memory().find(address);
  if (a && a->freed)
    throw UseError(cudaErrorInvalidValue, std::string("double free: ") + who + " of freed " + a->name);
  if (!a || a->base != address || a->kind != MemoryKind::device)
    throw UseError(cudaErrorInvalidValue,
                   std::string("invalid free: ") + who + " of what no cudaMalloc gave");
  return a;
}

void drop(Allocation* a) {
  add_used_memory(a->device, -static_cast<ptrdiff_t>(a->size));
  memory().remove(a);
}

struct Copy {
  void* to;
  const void* from;
  size_t size;
};

void check_direction(const Allocation* to, const Allocation* from, cudaMemcpyKind kind) {
  auto on_device = [](const Allocation* a) { return a && a->kind != MemoryKind::pinned; };
  bool want_to = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  bool want_from = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (kind != cudaMemcpyDefault && (on_device(to) != want_to || on_device(from) != want_from))
    throw UseError(cudaErrorInvalidValue,
                   "copy in a wrong direction: the pointers are not what the kind says");
}

void run_copy(const Copy& c, const EventPtr& event, const std::string& who) {
  Allocation *to = allocation_of(c.to, c.size, who), *from = allocation_of(c.from, c.size, who);
  size_t to_at = to ? reinterpret_cast<uint64_t>(c.to) - to->base : 0;
  size_t from_at = from ? reinterpret_cast<uint64_t>(c.from) - from->base : 0;
  if (from) enter(*from, from_at, from_at + c.size, false, event);
  if (to) enter(*to, to_at, to_at + c.size, true, event);
  std::memmove(bytes_of(to, c.to), bytes_of(from, c.from), c.size);
  bool to_device = to && to->kind != MemoryKind::pinned;
  if (to_device && from)
    to->shadow.copy_valid(to_at, from->shadow, from_at, c.size);
  else if (to_device)
    to->shadow.set_valid(to_at, c.size, true);
  else if (from)
    if (int64_t bad = from->shadow.first_invalid(from_at, c.size); bad >= 0)
      report("uninitialised read by a copy", event->name + " brings to the host byte " + std::to_string(bad) +
                                                 " of " + from->name + ", which nobody has written");
}

cudaError_t copy(Copy c, cudaMemcpyKind kind, cudaStream_t handle, bool async) {
  if (c.size == 0) return cudaSuccess;
  std::string who = async ? "cudaMemcpyAsync" : "cudaMemcpy";
  Stream& stream = stream_of(handle);
  Allocation *to = allocation_of(c.to, c.size, who), *from = allocation_of(c.from, c.size, who);
  check_direction(to, from, kind);
  if (stream.recording &&
      (!to || !from || to->kind == MemoryKind::pinned || from->kind == MemoryKind::pinned))
    throw UseError(cudaErrorStreamCaptureUnsupported, "stream is being captured: " + who + " of host memory");
  if (!from && to) {
    // Pageable memory is staged before the call returns, so that the caller may reuse it.
    auto staged = std::make_shared<std::vector<uint8_t>>(static_cast<const uint8_t*>(c.from),
                                                         static_cast<const uint8_t*>(c.from) + c.size);
    c.from = nullptr;
    OperationPtr op = scheduler().enqueue(stream, who, guarded([c, staged, who](Operation& o) {
                                            Copy mine{c.to, staged->data(), c.size};
                                            run_copy(mine, o.event, who);
                                            return Progress::done;
                                          }));
    if (!async)
      scheduler().wait(op);
    else
      guard_in_flight(to, c.to, c.size, true, op);
    return cudaSuccess;
  }
  OperationPtr op = scheduler().enqueue(stream, who, guarded([c, who](Operation& o) {
                                          run_copy(c, o.event, who);
                                          return Progress::done;
                                        }));
  if (!async || !to) {  // into pageable memory a copy is never asynchronous
    scheduler().wait(op);
  } else {
    guard_in_flight(to, c.to, c.size, true, op);
    guard_in_flight(from, c.from, c.size, false, op);
  }
  return cudaSuccess;
}

cudaError_t fill(void* p, int value, size_t size, cudaStream_t handle, bool async) {
  if (size == 0) return cudaSuccess;
  std::string who = async ? "cudaMemsetAsync" : "cudaMemset";
  allocation_of(p, size, who);
  OperationPtr op = scheduler().enqueue(stream_of(handle), who, guarded([=](Operation& o) {
                                          Allocation* a = allocation_of(p, size, who);
                                          if (!a)
                                            throw UseError(cudaErrorInvalidValue,
                                                           "invalid pointer: " + who + " of host memory");
                                          size_t at = reinterpret_cast<uint64_t>(p) - a->base;
                                          enter(*a, at, at + size, true, o.event);
                                          std::memset(a->data + at, value, size);
                                          a->shadow.set_valid(at, size, true);
                                          return Progress::done;
                                        }));
  if (!async) scheduler().wait(op);
  return cudaSuccess;
}

}  // namespace
}  // namespace gpusim

using namespace gpusim;

extern "C" {

cudaError_t cudaMalloc(void** p, size_t size) {
  return api([&] { return allocate(p, size, current_device()); });
}
cudaError_t cudaFree(void* p) {
  return api([&] {
    if (!p) return cudaSuccess;
    Allocation* a = owned(p, "cudaFree");
    scheduler().wait_device(a->device);  // as the real one does
    drop(a);
    return cudaSuccess;
  });
}
cudaError_t cudaMallocAsync(void** p, size_t size, cudaStream_t handle) {
  return api([&] {
    Stream& stream = stream_of(handle);
    cudaError_t error = allocate(p, size, stream.device);
    if (error != cudaSuccess || !*p) return error;
    Allocation* a = memory().find(reinterpret_cast<uint64_t>(*p));
    // Another stream may use the memory only after this point of this one.
    OperationPtr op = scheduler().enqueue(stream, "cudaMallocAsync", nullptr);
    enter(*a, 0, size, true, op->event);
    return error;
  });
}
cudaError_t cudaFreeAsync(void* p, cudaStream_t handle) {
  return api([&] {
    if (!p) return cudaSuccess;
    owned(p, "cudaFreeAsync");
    scheduler().enqueue(stream_of(handle), "cudaFreeAsync", guarded([p](Operation& op) {
                          Allocation* a = owned(p, "cudaFreeAsync");
                          enter(*a, 0, a->size, true, op.event);
                          drop(a);
                          return Progress::done;
                        }));
    return cudaSuccess;
  });
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t size, cudaMemcpyKind kind) {
  return api([&] { return copy({to, from, size}, kind, nullptr, false); });
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t size, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return api([&] { return copy({to, from, size}, kind, stream, true); });
}
cudaError_t cudaMemcpyPeer(void* to, int, const void* from, int, size_t size) {
  return api([&] { return copy({to, from, size}, cudaMemcpyDeviceToDevice, nullptr, false); });
}
cudaError_t cudaMemcpyPeerAsync(void* to, int, const void* from, int, size_t size, cudaStream_t stream) {
  return api([&] { return copy({to, from, size}, cudaMemcpyDeviceToDevice, stream, true); });
}
cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                              size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  return api([&] {
    for (size_t row = 0; row < height; ++row)
      copy(
          {static_cast<char*>(to) + row * to_pitch, static_cast<const char*>(from) + row * from_pitch, width},
          kind, stream, true);
    return cudaSuccess;
  });
}
cudaError_t cudaMemcpy2D(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                         size_t height, cudaMemcpyKind kind) {
  return api([&] {
    for (size_t row = 0; row < height; ++row)
      copy(
          {static_cast<char*>(to) + row * to_pitch, static_cast<const char*>(from) + row * from_pitch, width},
          kind, nullptr, false);
    return cudaSuccess;
  });
}
cudaError_t cudaMemset(void* p, int value, size_t size) {
  return api([&] { return fill(p, value, size, nullptr, false); });
}
cudaError_t cudaMemsetAsync(void* p, int value, size_t size, cudaStream_t stream) {
  return api([&] { return fill(p, value, size, stream, true); });
}

cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total) {
  return api([&] {
    *total = config().memory;
    *free_bytes = config().memory - used_memory(current_device());
    return cudaSuccess;
  });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* out, const void* p) {
  return api([&] {
    *out = {};
    Allocation* a = memory().find(reinterpret_cast<uint64_t>(p));
    if (!a || a->freed) {
      out->type = cudaMemoryTypeUnregistered;
      out->device = -2;
      out->hostPointer = const_cast<void*>(p);
      return cudaSuccess;
    }
    bool pinned = a->kind == MemoryKind::pinned;
    out->type = pinned ? cudaMemoryTypeHost : cudaMemoryTypeDevice;
    out->device = pinned ? current_device() : a->device;
    out->devicePointer = const_cast<void*>(p);
    out->hostPointer = pinned ? const_cast<void*>(p) : nullptr;
    return cudaSuccess;
  });
}

cudaError_t cudaGetSymbolAddress(void** p, const void* symbol) {
  return api([&] {
    Allocation* a = variable_of(symbol, current_device());
    if (!a) return cudaErrorInvalidSymbol;
    *p = reinterpret_cast<void*>(a->base);
    return cudaSuccess;
  });
}
cudaError_t cudaGetSymbolSize(size_t* size, const void* symbol) {
  return api([&] {
    Allocation* a = variable_of(symbol, current_device());
    if (!a) return cudaErrorInvalidSymbol;
    *size = a->size;
    return cudaSuccess;
  });
}
cudaError_t cudaMemcpyToSymbol(const void* symbol, const void* from, size_t size, size_t offset,
                               cudaMemcpyKind kind) {
  return api([&] {
    Allocation* a = variable_of(symbol, current_device());
    return a ? copy({reinterpret_cast<void*>(a->base + offset), from, size}, kind, nullptr, false)
             : cudaErrorInvalidSymbol;
  });
}
cudaError_t cudaMemcpyToSymbolAsync(const void* symbol, const void* from, size_t size, size_t offset,
                                    cudaMemcpyKind kind, cudaStream_t stream) {
  return api([&] {
    Allocation* a = variable_of(symbol, current_device());
    return a ? copy({reinterpret_cast<void*>(a->base + offset), from, size}, kind, stream, true)
             : cudaErrorInvalidSymbol;
  });
}
cudaError_t cudaMemcpyFromSymbol(void* to, const void* symbol, size_t size, size_t offset,
                                 cudaMemcpyKind kind) {
  return api([&] {
    Allocation* a = variable_of(symbol, current_device());
    return a ? copy({to, reinterpret_cast<const void*>(a->base + offset), size}, kind, nullptr, false)
             : cudaErrorInvalidSymbol;
  });
}

}  // extern "C"
