// How operations other than kernels reach memory: bounds, freed or not, and the order between operations.
#pragma once

#include <cuda_runtime_api.h>

#include <stdexcept>
#include <string>

#include "memory/table.hpp"

namespace gpusim {

struct UseError : std::runtime_error {
  cudaError_t code;
  UseError(cudaError_t c, const std::string& what) : std::runtime_error(what), code(c) {}
};

// The allocation that holds [p, p + size), or null for memory that the simulator does not manage. Throws
// UseError where it sticks out of one, has been freed, or lies in the device window but in no allocation.
Allocation* allocation_of(const void* p, size_t size, const std::string& who);

// Enters the access into the history and reports what is not ordered.
void enter(Allocation& a, size_t begin, size_t end, bool write, const EventPtr& event);

// The simulator's own pointer to p.
inline uint8_t* bytes_of(Allocation* a, const void* p) {
  auto address = reinterpret_cast<uint64_t>(p);
  return a ? a->data + (address - a->base) : reinterpret_cast<uint8_t*>(address);
}

}  // namespace gpusim
