#include "launch_groups.hpp"

#include <utility>
#include <vector>

#include "check.hpp"

namespace rondo {
namespace {

// Launches of a group: while the card runs one the host records the next.
constexpr int kGroup = 24;

std::string kinds_of(cudaGraph_t graph) {
  std::size_t count = 0;
  check(cudaGraphGetNodes(graph, nullptr, &count), "counting launches");
  std::vector<cudaGraphNode_t> nodes(count);
  check(cudaGraphGetNodes(graph, nodes.data(), &count), "listing launches");
  std::string kinds;
  for (const cudaGraphNode_t node : nodes) {
    cudaGraphNodeType type{};
    check(cudaGraphNodeGetType(node, &type), "asking for a launch's kind");
    kinds += static_cast<char>('a' + static_cast<int>(type));
  }
  return kinds;
}

}  // namespace

// No checks: a destructor, and at the end of a process CUDA may be gone already.
LaunchGroups::~LaunchGroups() {
  cudaGraph_t graph = nullptr;
  if (kept_ > 0 && cudaStreamEndCapture(stream_, &graph) == cudaSuccess) cudaGraphDestroy(graph);
  for (const auto& [kinds, exec] : graphs_) cudaGraphExecDestroy(exec);
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
  const std::string kinds = kinds_of(graph);
  if (kinds.empty()) return check(cudaGraphDestroy(graph), "giving recorded launches back");
  cudaGraphExec_t& exec = graphs_[kinds];
  cudaGraphExecUpdateResultInfo how{};
  if (exec != nullptr && cudaGraphExecUpdate(exec, graph, &how) != cudaSuccess) {
    cudaGetLastError();  // a kernel of another sort: made anew
    check(cudaGraphExecDestroy(std::exchange(exec, nullptr)), "giving recorded launches back");
  }
  if (exec == nullptr) check(cudaGraphInstantiate(&exec, graph, 0), "preparing recorded launches");
  check(cudaGraphDestroy(graph), "giving recorded launches back");
  check(cudaGraphLaunch(exec, stream_), "sending recorded launches");
}

}  // namespace rondo
