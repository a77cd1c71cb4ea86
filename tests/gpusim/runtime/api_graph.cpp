// Graphs, as far as streams that are captured make them: sequences of operations.
#include <cuda.h>
#include <cuda_runtime_api.h>

#include <set>

#include "runtime/runtime.hpp"
#include "runtime/use.hpp"

namespace gpusim {
namespace {

template <class Handle>
Graph& graph_of(Handle handle) {
  if (!handle) throw UseError(cudaErrorInvalidResourceHandle, "invalid handle: no such graph");
  return *reinterpret_cast<Graph*>(handle);
}

cudaGraphNodeType type_of(const Graph::Node& node) {
  if (node.name.starts_with("cudaMemset")) return cudaGraphNodeTypeMemset;
  return node.name.starts_with("cudaMemcpy") ? cudaGraphNodeTypeMemcpy : cudaGraphNodeTypeKernel;
}

// One address for each name.
CUresult kernel_params(CUgraphNode node, CUDA_KERNEL_NODE_PARAMS* params) {
  static std::set<std::string> names;
  *params = {};
  const auto& name = *names.insert(reinterpret_cast<Graph::Node*>(node)->name).first;
  params->func = reinterpret_cast<CUfunction>(const_cast<std::string*>(&name));
  return CUDA_SUCCESS;
}

}  // namespace
}  // namespace gpusim

using namespace gpusim;

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode) {
  return api([&] {
    Stream& stream = stream_of(handle);
    if (!handle || stream.recording) return cudaErrorIllegalState;
    stream.recording = std::make_unique<Graph>();
    return cudaSuccess;
  });
}
cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  return api([&] {
    Stream& stream = stream_of(handle);
    if (!stream.recording) return cudaErrorIllegalState;
    *graph = reinterpret_cast<cudaGraph_t>(stream.recording.release());
    return cudaSuccess;
  });
}
cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  return api([&] {
    *status = stream_of(handle).recording ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphGetNodes(cudaGraph_t handle, cudaGraphNode_t* nodes, size_t* count) {
  return api([&] {
    Graph& graph = graph_of(handle);
    for (size_t k = 0; nodes && k < graph.nodes.size() && k < *count; ++k)
      nodes[k] = reinterpret_cast<cudaGraphNode_t>(&graph.nodes[k]);
    *count = nodes ? std::min(*count, graph.nodes.size()) : graph.nodes.size();
    return cudaSuccess;
  });
}
cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, cudaGraphNodeType* type) {
  return api([&] {
    if (!node) return cudaErrorInvalidValue;
    *type = type_of(*reinterpret_cast<Graph::Node*>(node));
    return cudaSuccess;
  });
}

// The only call of the driver that is known here.
cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol, void** function, unsigned,
                                             unsigned long long, cudaDriverEntryPointQueryResult* result) {
  return api([&] {
    const bool known = std::string(symbol) == "cuGraphKernelNodeGetParams";
    *function = known ? reinterpret_cast<void*>(kernel_params) : nullptr;
    if (result) *result = known ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  return api([&] {
    *exec = reinterpret_cast<cudaGraphExec_t>(new Graph(graph_of(graph)));
    return cudaSuccess;
  });
}
cudaError_t cudaGraphExecUpdate(cudaGraphExec_t exec, cudaGraph_t graph,
                                cudaGraphExecUpdateResultInfo* info) {
  return api([&] {
    Graph &to = graph_of(exec), &from = graph_of(graph);
    const bool same = std::equal(to.nodes.begin(), to.nodes.end(), from.nodes.begin(), from.nodes.end(),
                                 [](const auto& a, const auto& b) { return type_of(a) == type_of(b); });
    // CUDA's manual allows it. On a real card (H200, driver 580.159, CUDA 13.0) results were missing where
    // kernels of cuBLAS were among them, so it counts as a mistake.
    for (size_t k = 0; same && k < to.nodes.size(); ++k)
      if (to.nodes[k].name != from.nodes[k].name)
        throw UseError(
            cudaErrorGraphExecUpdateFailure,
            "graph update exchanges kernels: " + to.nodes[k].name + " becomes " + from.nodes[k].name);
    *info = {};
    info->result = same ? cudaGraphExecUpdateSuccess : cudaGraphExecUpdateErrorTopologyChanged;
    if (!same) return cudaErrorGraphExecUpdateFailure;
    to.nodes = from.nodes;
    return cudaSuccess;
  });
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t handle) {
  return api([&] {
    for (const Graph::Node& node : graph_of(exec).nodes)
      scheduler().enqueue(stream_of(handle), node.name, node.body);
    return cudaSuccess;
  });
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return api([&] {
    delete &graph_of(graph);
    return cudaSuccess;
  });
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  return api([&] {
    delete &graph_of(exec);
    return cudaSuccess;
  });
}

}  // extern "C"
