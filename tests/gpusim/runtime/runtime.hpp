// State that the API functions share: errors, the current device, and what each call begins with.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "memory/table.hpp"
#include "runtime/scheduler.hpp"

namespace gpusim {

int current_device();
cudaError_t set_current_device(int device);

// Bit d: kernels on `device` may touch memory of device d (cudaDeviceEnablePeerAccess).
uint64_t reachable_from(int device);
void set_reachable(int device, int peer, bool may);

// Remembers an error for cudaGetLastError and returns it.
cudaError_t fail(cudaError_t error);
// An error that no later call can shake off, as after an illegal address.
void poison(cudaError_t error);
cudaError_t take_last_error(bool clear);

size_t used_memory(int device);
void add_used_memory(int device, ptrdiff_t bytes);

// Runs an API call: takes the lock, lets queued work drift, turns exceptions into errors. Findings of any
// kind (races, unordered operations) come back as a sticky cudaErrorLaunchFailure.
cudaError_t api(const std::function<cudaError_t()>& call);

// The stream of the handle, or throws UseError(cudaErrorInvalidResourceHandle).
Stream& stream_of(cudaStream_t handle);

// Wraps an operation's body: a UseError or Fault in it is reported and poisons the context.
std::function<Progress(Operation&)> guarded(std::function<Progress(Operation&)> body);

}  // namespace gpusim
