// What NVIDIA's profilers show of training: NVTX ranges, in the domain "rondo".
#pragma once

namespace rondo {

/// From here on a range for each step and, within it, one for each phase (core/phase.hpp); buckets leave a
/// mark. Where no profiler listens nothing is installed, so that nothing is paid.
void show_phases_to_profilers();

}  // namespace rondo
