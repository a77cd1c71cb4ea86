// Every call of CUDA passes here.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

namespace rondo {

/// Throws Error when a call failed: what was to be done, and what the library says. A kernel's own failure
/// shows at a later call, often the next that waits.
void check(cudaError_t result, const char* what);
/// After a launch. An event that was asked and is not done yet leaves cudaErrorNotReady behind, which is no
/// error.
inline void check_launch(const char* what) {
  if (const cudaError_t result = cudaGetLastError(); result != cudaErrorNotReady) check(result, what);
}
/// A version as CUDA counts (12080) as people write it (12.8).
std::string dotted(int version);

}  // namespace rondo
