// What nvcc's generated code calls: registration of images and kernels, and launches.
#include <cuda_runtime_api.h>

#include <chrono>
#include <cstring>

#include "interp/thread.hpp"
#include "runtime/config.hpp"
#include "runtime/images.hpp"
#include "runtime/runtime.hpp"
#include "runtime/use.hpp"

namespace gpusim {
namespace {

struct Configuration {
  dim3 grid, block;
  size_t shared;
  cudaStream_t stream;
};
thread_local std::vector<Configuration> configurations;

struct AtExit {
  uint64_t launches = 0, instructions = 0;
  double seconds = 0;
  ~AtExit() {
    scheduler().stop_background();
    write_coverage();
    if (config().statistics)
      std::fprintf(stderr,
                   "gpusim: %llu launches, %.3f million instructions in %.3f s: %.1f million a second\n",
                   static_cast<unsigned long long>(launches), static_cast<double>(instructions) * 1e-6,
                   seconds, static_cast<double>(instructions) * 1e-6 / std::max(seconds, 1e-9));
  }
};
AtExit& at_exit() {
  static AtExit a;
  return a;
}

// The kernel's ranges become entries in the history of the allocations that it touched.
void enter_touched(const Launch& launch, const EventPtr& event) {
  for (Allocation* a : launch.touched)
    a->shadow.collect([&](Range r, bool wrote) { enter(*a, r.begin, r.end, wrote, event); });
}

cudaError_t launch(Kernel* kernel, dim3 grid, dim3 block, void** args, size_t shared, cudaStream_t handle) {
  if (!kernel) return cudaErrorInvalidDeviceFunction;
  Stream& stream = stream_of(handle);
  const Code& code = kernel->code(stream.device);
  auto run = std::make_shared<Launch>();
  run->entry = &code;
  run->grid = {grid.x, grid.y, grid.z};
  run->block = {block.x, block.y, block.z};
  run->dynamic_shared = shared;
  uint64_t threads = run->block.count();
  if (threads == 0 || threads > 1024 || block.z > 64 || run->grid.count() == 0 || grid.x > 0x7fffffff ||
      grid.y > 65535 || grid.z > 65535)
    return cudaErrorInvalidConfiguration;
  if (code.max_threads && threads > static_cast<uint64_t>(code.max_threads))
    return cudaErrorInvalidConfiguration;
  if (code.static_shared + shared > std::max(kernel->dynamic_limit + code.static_shared, size_t{48} << 10) ||
      (shared > kernel->dynamic_limit))
    return cudaErrorInvalidValue;
  if (!code.parameters.empty()) {
    uint32_t first = code.parameters.front().offset;
    run->parameters.resize(code.parameters.back().offset + code.parameters.back().size - first);
    for (size_t k = 0; k < code.parameters.size(); ++k)
      std::memcpy(run->parameters.data() + code.parameters[k].offset - first, args[k],
                  code.parameters[k].size);
  }
  run->limit = config().limit;
  run->devices = reachable_from(stream.device);
  scheduler().enqueue(stream, "kernel " + code.shown, guarded([run](Operation& op) {
                        static uint64_t operations = 0;
                        Launch once = *run;  // a graph runs it again and again
                        once.operation = ++operations;
                        once.random.seed(config().seed * 1000003 + operations);
                        auto begin = std::chrono::steady_clock::now();
                        run_launch(once);
                        at_exit().seconds +=
                            std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
                        at_exit().instructions += once.executed;
                        ++at_exit().launches;
                        enter_touched(once, op.event);
                        return Progress::done;
                      }));
  return cudaSuccess;
}

}  // namespace
}  // namespace gpusim

using namespace gpusim;

extern "C" {

void** __cudaRegisterFatBinary(void* wrapper) {
  at_exit();  // before the program's own exit handlers are registered, so that it runs after them
  return reinterpret_cast<void**>(add_image(wrapper));
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
char __cudaInitModule(void**) { return 0; }
void __cudaRegisterFunction(void** image, const char* host, char*, const char* name, int, uint3*, uint3*,
                            dim3*, dim3*, int*) {
  add_kernel(reinterpret_cast<Image*>(image), host, name);
}
void __cudaRegisterVar(void** image, char* host, char*, const char* name, int, size_t, int, int) {
  add_variable(reinterpret_cast<Image*>(image), host, name);
}

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, void* stream) {
  configurations.push_back({grid, block, shared, static_cast<cudaStream_t>(stream)});
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared, void* stream) {
  Configuration c = configurations.back();
  configurations.pop_back();
  *grid = c.grid;
  *block = c.block;
  *shared = c.shared;
  *static_cast<cudaStream_t*>(stream) = c.stream;
  return cudaSuccess;
}

cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* host) {
  *kernel = reinterpret_cast<cudaKernel_t>(kernel_of(host));
  return *kernel ? cudaSuccess : fail(cudaErrorInvalidDeviceFunction);
}
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** args, size_t shared,
                               cudaStream_t stream) {
  return api([&] { return launch(kernel_of(kernel), grid, block, args, shared, stream); });
}
cudaError_t cudaLaunchKernel(const void* host, dim3 grid, dim3 block, void** args, size_t shared,
                             cudaStream_t stream) {
  return api([&] { return launch(kernel_of(host), grid, block, args, shared, stream); });
}

cudaError_t cudaFuncSetAttribute(const void* host, cudaFuncAttribute attribute, int value) {
  return api([&] {
    Kernel* k = kernel_of(host);
    if (!k) return cudaErrorInvalidDeviceFunction;
    if (attribute == cudaFuncAttributeMaxDynamicSharedMemorySize) {
      if (value < 0 || value > (64 << 10)) return cudaErrorInvalidValue;
      k->dynamic_limit = static_cast<size_t>(value);
    }
    return cudaSuccess;
  });
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* out, const void* host) {
  return api([&] {
    Kernel* k = kernel_of(host);
    if (!k) return cudaErrorInvalidDeviceFunction;
    const Code& code = k->code(current_device());
    *out = {};
    out->sharedSizeBytes = code.static_shared;
    out->localSizeBytes = code.local_size;
    out->maxThreadsPerBlock = code.max_threads ? code.max_threads : 1024;
    out->numRegs = 32;
    out->ptxVersion = out->binaryVersion = config().major * 10 + config().minor;
    out->maxDynamicSharedSizeBytes = static_cast<int>(k->dynamic_limit);
    return cudaSuccess;
  });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* host, int threads,
                                                                   size_t shared, unsigned) {
  return api([&] {
    Kernel* k = kernel_of(host);
    if (!k || threads < 1) return k ? cudaErrorInvalidValue : cudaErrorInvalidDeviceFunction;
    size_t bytes = k->code(current_device()).static_shared + shared;
    *blocks = std::min(1024 / ((threads + 31) / 32 * 32),
                       bytes ? static_cast<int>((size_t{64} << 10) / bytes) : 16);
    return cudaSuccess;
  });
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* host, int threads,
                                                          size_t shared) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, host, threads, shared, 0);
}

}  // extern "C"
