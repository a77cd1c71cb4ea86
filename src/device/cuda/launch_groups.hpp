// Launches in groups. Each launch costs the host some microseconds, more than a small kernel takes; recorded
// into a CUDA graph it costs a fraction, and a graph that only changes its arguments is sent in one go.
#pragma once

#include <cuda_runtime_api.h>

#include <map>
#include <string>

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
  cudaStream_t stream_;
  int kept_ = 0;
  std::map<std::string, cudaGraphExec_t>
      graphs_;  // by the kinds of their nodes, which an update cannot change
};

}  // namespace rondo
