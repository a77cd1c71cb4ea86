#include "peak.hpp"

#include <cuda_runtime_api.h>

namespace rondo {
namespace {

// FLOP per clock and multiprocessor, a fused multiply-add counted as two. float32: CUDA C++ programming
// guide, "Throughput of native arithmetic instructions". Halves (dense; bfloat16 and float16 alike) and tf32:
// NVIDIA's white papers on A100 and H100; where consumer and server cards of one capability differ (7.5, 8.6,
// 8.9, 12.0) or no paper says it, there is none.
struct Units {
  int capability;
  int float32, tf32, halves;
};
constexpr Units kUnits[] = {{75, 128, 0, 0},  {80, 128, 1024, 2048}, {86, 256, 0, 0},
                            {87, 256, 0, 0},  {89, 256, 0, 0},       {90, 256, 2048, 4096},
                            {100, 256, 0, 0}, {103, 256, 0, 0},      {120, 256, 0, 0}};

int attribute(cudaDeviceAttr which, int device) {
  int value = 0;
  if (cudaDeviceGetAttribute(&value, which, device) == cudaSuccess) return value;
  cudaGetLastError();
  return 0;
}

}  // namespace

double peak_flops(int device, Precision operands) {
  const int capability = 10 * attribute(cudaDevAttrComputeCapabilityMajor, device) +
                         attribute(cudaDevAttrComputeCapabilityMinor, device);
  const double hertz = 1e3 * attribute(cudaDevAttrClockRate, device);
  const double multiprocessors = attribute(cudaDevAttrMultiProcessorCount, device);
  for (const Units& units : kUnits)
    if (units.capability == capability)
      return hertz * multiprocessors *
             (is_half(operands)             ? units.halves
              : operands == Precision::tf32 ? units.tf32
                                            : units.float32);
  return 0;
}

}  // namespace rondo
