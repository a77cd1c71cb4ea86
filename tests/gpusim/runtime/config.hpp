// What the environment says about the simulated machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace gpusim {

struct Config {
  int devices = 1;                     // GPUSIM_DEVICES
  size_t memory = size_t{16} << 30;    // GPUSIM_MEMORY, bytes, with K, M or G
  uint64_t seed = 1;                   // GPUSIM_SEED: order of threads, blocks and streams
  bool eager = false;                  // GPUSIM_EAGER=1: every operation runs as soon as it may
  bool protect = true;                 // GPUSIM_PROTECT=0: do not guard pinned memory in flight
  int major = 7, minor = 5;            // GPUSIM_COMPUTE=8.0: the compute capability to claim
  uint64_t limit = uint64_t{4} << 30;  // GPUSIM_LIMIT: instructions of one launch
  bool statistics = false;             // GPUSIM_STATISTICS=1: instructions a second, at exit
  std::string coverage;                // GPUSIM_COVERAGE: a folder
};
const Config& config();

}  // namespace gpusim
