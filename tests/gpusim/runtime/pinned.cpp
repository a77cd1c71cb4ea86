#include "runtime/pinned.hpp"

#include <cstring>

#include "runtime/runtime.hpp"
#include "runtime/use.hpp"

namespace gpusim {

void guard_in_flight(Allocation*, const void*, size_t, bool, const OperationPtr&) {}
void open_finished() {}

}  // namespace gpusim

using namespace gpusim;

extern "C" {

cudaError_t cudaHostAlloc(void** p, size_t size, unsigned) {
  return api([&] {
    *p = size ? std::malloc(size) : nullptr;
    if (*p) memory().add_pinned(*p, static_cast<uint8_t*>(*p), size);
    return cudaSuccess;
  });
}
cudaError_t cudaMallocHost(void** p, size_t size) { return cudaHostAlloc(p, size, 0); }
cudaError_t cudaFreeHost(void* p) {
  return api([&] {
    if (!p) return cudaSuccess;
    Allocation* a = memory().find(reinterpret_cast<uint64_t>(p));
    if (!a || a->kind != MemoryKind::pinned) return cudaErrorInvalidValue;
    enter(*a, 0, a->size, true, scheduler().host_event("cudaFreeHost"));
    memory().remove(a);
    std::free(p);
    return cudaSuccess;
  });
}

}  // extern "C"
