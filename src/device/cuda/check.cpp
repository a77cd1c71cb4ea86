#include "check.hpp"

#include "rondo/core/error.hpp"

namespace rondo {

void check(cudaError_t result, const char* what) {
  if (result == cudaSuccess) return;
  cudaGetLastError();  // an error that is not sticky must not show again at the next launch
  throw Error(fmt::format("CUDA, {}: {} ({})", what, cudaGetErrorString(result), cudaGetErrorName(result)));
}

std::string dotted(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

}  // namespace rondo
