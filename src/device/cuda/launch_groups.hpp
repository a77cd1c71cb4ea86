// Launches in groups. Each launch costs the host some microseconds, more than a small kernel takes; recorded
// into a CUDA graph it costs a fraction, and a graph that only changes its arguments is sent in one go.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <map>
#include <vector>

namespace rondo {

/// What is put on a stream between begin() and send(), kept back until then: kernels, products, fills and
/// copies within the card. Whatever else touches the stream, or memory that those use, comes after send().
class LaunchGroups {
 public:
  explicit LaunchGroups(cudaStream_t stream) : stream_(stream) {}
  ~LaunchGroups();
  LaunchGroups(const LaunchGroups&) = delete;
  LaunchGroups& operator=(const LaunchGroups&) = delete;

  /// Before each launch that may wait for others.
  void begin();
  /// What was kept back goes to the card, in order.
  void send();

 private:
  void forget();
  cudaStream_t stream_;
  int kept_ = 0;
  /// By what the nodes run. The manual lets an update exchange kernels. On an H200 (driver 580.159) sequences
  /// with cuBLAS's kernels then left results out, though one of our own kernels alone went well; the cause is
  /// not known. So an update changes arguments and grids, and nothing else.
  std::map<std::vector<std::uintptr_t>, cudaGraphExec_t> graphs_;
};

}  // namespace rondo
