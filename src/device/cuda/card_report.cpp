// What there is, asked without taking a card.
#include <cuda_runtime_api.h>

#include "check.hpp"
#include "cublas_library.hpp"
#include "peak.hpp"
#include "rondo/core/error.hpp"
#include "rondo/device/cards.hpp"

namespace rondo {
namespace {

std::string cublas_version() {
  if (!cublas_problem().empty()) return cublas_problem();
  int major = 0, minor = 0, patch = 0;
  cublas().get_property(MAJOR_VERSION, &major);
  cublas().get_property(MINOR_VERSION, &minor);
  cublas().get_property(PATCH_LEVEL, &patch);
  return fmt::format("{}.{}.{}", major, minor, patch);
}

Card card(int device, int count) {
  Card card;
  cudaDeviceProp properties{};
  if (cudaGetDeviceProperties(&properties, device) != cudaSuccess) {
    card.name = fmt::format("cannot be asked: {}", cudaGetErrorString(cudaGetLastError()));
    return card;
  }
  card.name = properties.name;
  card.memory = properties.totalGlobalMem;
  card.major = properties.major, card.minor = properties.minor;
  card.multiprocessors = properties.multiProcessorCount;
  card.peak_float32 = peak_flops(device, Precision::float32);
  card.peak_tf32 = peak_flops(device, Precision::tf32);
  card.peak_halves = peak_flops(device, Precision::bfloat16);
  for (int peer = 0, reaches = 0; peer < count; ++peer)
    if (peer != device && cudaDeviceCanAccessPeer(&reaches, device, peer) == cudaSuccess && reaches != 0)
      card.peers.push_back(peer);
  return card;
}

}  // namespace

CardReport report_cards() {
  int driver = 0, runtime = 0, count = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  CardReport report{driver == 0 ? "" : dotted(driver), dotted(runtime), cublas_version(), {}};
  if (cudaGetDeviceCount(&count) != cudaSuccess) cudaGetLastError();
  for (int device = 0; device < count; ++device) report.cards.push_back(card(device, count));
  return report;
}

}  // namespace rondo
