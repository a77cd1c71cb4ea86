#include "peak.hpp"

#include <cuda_runtime_api.h>

namespace rondo {
namespace {

// FLOP per clock and multiprocessor, a fused multiply-add counted as two. float32: CUDA C++ programming
// guide, "Throughput of native arithmetic instructions". bfloat16 (dense, sums in float32): NVIDIA's white
// papers on A100 and H100; where consumer and server cards of one capability differ (8.6, 8.9, 12.0) or no
// paper says it, there is none.
struct Units {
  int capability;
  int float32, bfloat16;
};
constexpr Units kUnits[] = {{75, 128, 0},    {80, 128, 2048}, {86, 256, 0},  {87, 256, 0}, {89, 256, 0},
                            {90, 256, 4096}, {100, 256, 0},   {103, 256, 0}, {120, 256, 0}};

int attribute(cudaDeviceAttr which, int device) {
  int value = 0;
  if (cudaDeviceGetAttribute(&value, which, device) == cudaSuccess) return value;
  cudaGetLastError();
  return 0;
}

}  // namespace

double peak_flops(int device, bool bfloat16) {
  const int capability = 10 * attribute(cudaDevAttrComputeCapabilityMajor, device) +
                         attribute(cudaDevAttrComputeCapabilityMinor, device);
  const double hertz = 1e3 * attribute(cudaDevAttrClockRate, device);
  const double multiprocessors = attribute(cudaDevAttrMultiProcessorCount, device);
  for (const Units& units : kUnits)
    if (units.capability == capability)
      return hertz * multiprocessors * (bfloat16 ? units.bfloat16 : units.float32);
  return 0;
}

}  // namespace rondo
