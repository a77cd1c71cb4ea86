// Which cards there are and which one is this rank's. Nothing here needs a driver to be installed: the
// runtime says so when it is asked for the number of cards.
#include <cuda_runtime_api.h>

#include <cstdlib>

#include "check.hpp"
#include "cuda.hpp"
#include "cuda_backend.hpp"
#include "profiler_ranges.hpp"
#include "rondo/core/error.hpp"

namespace rondo {
namespace {

constexpr int kLeastCapability = 75;  // below, the build has no code

const char* visible_devices() { return std::getenv("CUDA_VISIBLE_DEVICES"); }

int cards() {
  int count = 0;  // stays as it is without a driver
  const cudaError_t result = cudaGetDeviceCount(&count);
  if (result != cudaSuccess) cudaGetLastError();
  return result == cudaSuccess ? count : 0;
}

// Unless told otherwise by CUDA_VISIBLE_DEVICES, a rank sees all cards of its host.
bool was_given_one_card(int count) { return count == 1 && visible_devices() != nullptr; }

}  // namespace

bool built_with_cuda() { return true; }

std::string why_not_cuda() {
  int count = 0, driver = 0, runtime = 0;
  const cudaError_t result = cudaGetDeviceCount(&count);
  if (result == cudaSuccess && count > 0) {
    int major = 0, minor = 0;
    cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0);
    cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0);
    if (10 * major + minor >= kLeastCapability) return why_not_cublas();
    return fmt::format("the GPU has compute capability {}.{}, and 7.5 is the least that can be used", major,
                       minor);
  }
  cudaGetLastError();
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  if (driver == 0) return "no CUDA driver is installed";
  if (driver < runtime && result == cudaErrorInsufficientDriver)
    return fmt::format("the CUDA driver is for version {}, and this build needs {}", dotted(driver),
                       dotted(runtime));
  if (result == cudaErrorNoDevice || result == cudaSuccess) {
    const char* visible = visible_devices();
    return visible == nullptr ? "no CUDA device is visible (CUDA_VISIBLE_DEVICES is not set)"
                              : fmt::format("no CUDA device is visible (CUDA_VISIBLE_DEVICES = {})", visible);
  }
  return fmt::format("CUDA cannot be used: {}", cudaGetErrorString(result));
}

// Ranks do not share a card: each would get a part of its time, and NCCL refuses it.
std::unique_ptr<Backend> make_cuda_backend(int local_rank, int local_size) {
  const int count = cards();
  show_phases_to_profilers();
  if (was_given_one_card(count)) return std::make_unique<CudaBackend>(0);
  if (local_size > count || local_rank >= count)
    input_error(
        "this host has {} GPU(s) for {} rank(s): start at most one rank a GPU (mpirun -n {}, or --map-by "
        "ppr:{}:node), or use device.kind = \"cpu\"",
        count, local_size, count, count);
  return std::make_unique<CudaBackend>(local_rank);
}

}  // namespace rondo
