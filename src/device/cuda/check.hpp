// Every call of CUDA passes here.
#pragma once

#include <cuda_runtime_api.h>

namespace rondo {

/// Throws Error when a call failed: what was to be done, and what the library says. A kernel's own failure
/// shows at a later call, often the next that waits.
void check(cudaError_t result, const char* what);
/// After a launch.
inline void check_launch(const char* what) { check(cudaGetLastError(), what); }

}  // namespace rondo
