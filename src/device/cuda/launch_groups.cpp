#include "launch_groups.hpp"

#include <cuda.h>

#include <utility>

#include "check.hpp"
#include "rondo/core/error.hpp"

namespace rondo {
namespace {

// Launches of a group: while the card runs one the host records the next.
constexpr int kGroup = 24;

constexpr std::size_t kGraphs = 512;  // a training step's are a few dozen

using KernelParams = CUresult (*)(CUgraphNode, CUDA_KERNEL_NODE_PARAMS*);

// The runtime's own call does not know kernels of cuBLAS; the driver's does. The driver is never linked.
KernelParams driver_kernel_params() {
  static const auto call = [] {
    void* found = nullptr;
    cudaDriverEntryPointQueryResult result{};
    check(cudaGetDriverEntryPointByVersion("cuGraphKernelNodeGetParams", &found, 12000, cudaEnableDefault,
                                           &result),
          "asking the driver for kernels of graphs");
    RONDO_CHECK(found != nullptr,
                "the CUDA driver does not know cuGraphKernelNodeGetParams: update the driver");
    return reinterpret_cast<KernelParams>(found);
  }();
  return call;
}

void add_kernel(std::vector<std::uintptr_t>& parts, cudaGraphNode_t node) {
  CUDA_KERNEL_NODE_PARAMS params{};
  if (driver_kernel_params()(node, &params) != CUDA_SUCCESS)
    check(cudaErrorUnknown, "asking for a launch's kernel");
  parts.push_back(params.func != nullptr ? reinterpret_cast<std::uintptr_t>(params.func)
                                         : reinterpret_cast<std::uintptr_t>(params.kern));
  for (const unsigned size : {params.blockDimX, params.blockDimY, params.blockDimZ, params.sharedMemBytes})
    parts.push_back(size);
}

// For each node its kernel, with the sizes of a block, or its kind.
std::vector<std::uintptr_t> parts_of(cudaGraph_t graph) {
  std::size_t count = 0;
  check(cudaGraphGetNodes(graph, nullptr, &count), "counting launches");
  std::vector<cudaGraphNode_t> nodes(count);
  check(cudaGraphGetNodes(graph, nodes.data(), &count), "listing launches");
  std::vector<std::uintptr_t> parts;
  for (const cudaGraphNode_t node : nodes) {
    cudaGraphNodeType type{};
    check(cudaGraphNodeGetType(node, &type), "asking for a launch's kind");
    if (type == cudaGraphNodeTypeKernel)
      add_kernel(parts, node);
    else
      parts.push_back(static_cast<std::uintptr_t>(type));
  }
  return parts;
}

}  // namespace

// No checks: a destructor, and at the end of a process CUDA may be gone already.
LaunchGroups::~LaunchGroups() {
  cudaGraph_t graph = nullptr;
  if (kept_ > 0 && cudaStreamEndCapture(stream_, &graph) == cudaSuccess) cudaGraphDestroy(graph);
  forget();
}

void LaunchGroups::forget() {
  for (const auto& [parts, exec] : graphs_) cudaGraphExecDestroy(exec);
  graphs_.clear();
}

// Relaxed: memory may be allocated meanwhile.
void LaunchGroups::begin() {
  if (kept_ == kGroup) send();
  if (kept_++ == 0)
    check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeRelaxed), "beginning to record launches");
}

void LaunchGroups::send() {
  if (std::exchange(kept_, 0) == 0) return;
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(stream_, &graph), "recording launches");
  const std::vector<std::uintptr_t> parts = parts_of(graph);
  if (parts.empty()) return check(cudaGraphDestroy(graph), "giving recorded launches back");
  if (graphs_.size() == kGraphs) forget();  // CUDA frees those that are on their way when they are done
  cudaGraphExec_t& exec = graphs_[parts];
  cudaGraphExecUpdateResultInfo how{};
  if (exec != nullptr && cudaGraphExecUpdate(exec, graph, &how) != cudaSuccess) {
    cudaGetLastError();  // a fill of other dimensions, say: made anew
    check(cudaGraphExecDestroy(std::exchange(exec, nullptr)), "giving recorded launches back");
  }
  if (exec == nullptr) check(cudaGraphInstantiate(&exec, graph, 0), "preparing recorded launches");
  check(cudaGraphDestroy(graph), "giving recorded launches back");
  check(cudaGraphLaunch(exec, stream_), "sending recorded launches");
}

}  // namespace rondo
