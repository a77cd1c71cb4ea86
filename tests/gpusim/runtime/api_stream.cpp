// Streams, events and the ways to wait for them.
#include <cuda_runtime_api.h>

#include "runtime/runtime.hpp"
#include "runtime/use.hpp"

namespace gpusim {
namespace {

CudaEvent& event_of(cudaEvent_t handle) {
  if (!handle) throw UseError(cudaErrorInvalidResourceHandle, "invalid handle: no such event");
  return *reinterpret_cast<CudaEvent*>(handle);
}

}  // namespace
}  // namespace gpusim

using namespace gpusim;

extern "C" {

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* out, unsigned flags, int priority) {
  return api([&] {
    *out = reinterpret_cast<cudaStream_t>(
        scheduler().create(current_device(), !(flags & cudaStreamNonBlocking), priority));
    return cudaSuccess;
  });
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* out, unsigned flags) {
  return cudaStreamCreateWithPriority(out, flags, 0);
}
cudaError_t cudaStreamCreate(cudaStream_t* out) { return cudaStreamCreateWithPriority(out, 0, 0); }
cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  return api([&] {
    if (!handle) return cudaErrorInvalidResourceHandle;
    scheduler().destroy(&stream_of(handle));
    return cudaSuccess;
  });
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  return api([&] {
    *least = 0;
    *greatest = -5;
    return cudaSuccess;
  });
}
cudaError_t cudaStreamGetPriority(cudaStream_t handle, int* priority) {
  return api([&] {
    *priority = stream_of(handle).priority;
    return cudaSuccess;
  });
}
cudaError_t cudaStreamGetFlags(cudaStream_t handle, unsigned* flags) {
  return api([&] {
    *flags = stream_of(handle).blocking ? cudaStreamDefault : cudaStreamNonBlocking;
    return cudaSuccess;
  });
}
cudaError_t cudaStreamGetDevice(cudaStream_t handle, int* device) {
  return api([&] {
    *device = stream_of(handle).device;
    return cudaSuccess;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return api([&] {
    scheduler().wait(stream_of(handle));
    return cudaSuccess;
  });
}
cudaError_t cudaDeviceSynchronize() {
  return api([&] {
    scheduler().wait_device(current_device());
    return cudaSuccess;
  });
}
cudaError_t cudaStreamQuery(cudaStream_t handle) {
  return api([&] {
    Stream& s = stream_of(handle);
    if (s.recording) return cudaErrorStreamCaptureUnsupported;
    if (s.last && !scheduler().query(s.last)) return cudaErrorNotReady;
    return cudaSuccess;
  });
}
cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  return api([&] {
    // The wait is for the event as it was last recorded; one that never was is no wait at all.
    if (OperationPtr recorded = event_of(event).recorded)
      scheduler().enqueue(stream_of(handle), "cudaStreamWaitEvent", nullptr, {recorded});
    return cudaSuccess;
  });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* out, unsigned flags) {
  return api([&] {
    auto* e = new CudaEvent;
    e->timing = !(flags & cudaEventDisableTiming);
    *out = reinterpret_cast<cudaEvent_t>(e);
    return cudaSuccess;
  });
}
cudaError_t cudaEventCreate(cudaEvent_t* out) { return cudaEventCreateWithFlags(out, 0); }
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return api([&] {
    delete &event_of(event);
    return cudaSuccess;
  });
}
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned) {
  return api([&] {
    CudaEvent& e = event_of(event);
    e.recorded = scheduler().enqueue(stream_of(stream), "cudaEventRecord", nullptr);
    return cudaSuccess;
  });
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return cudaEventRecordWithFlags(event, stream, 0);
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  return api([&] {
    CudaEvent& e = event_of(event);
    if (e.recorded && !scheduler().query(e.recorded)) return cudaErrorNotReady;
    return cudaSuccess;
  });
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return api([&] {
    if (OperationPtr recorded = event_of(event).recorded) scheduler().wait(recorded);
    return cudaSuccess;
  });
}
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t begin, cudaEvent_t end) {
  return api([&] {
    CudaEvent &a = event_of(begin), &b = event_of(end);
    if (!a.timing || !b.timing || !a.recorded || !b.recorded) return cudaErrorInvalidResourceHandle;
    if (!a.recorded->done || !b.recorded->done) return cudaErrorNotReady;
    *ms = static_cast<float>(b.recorded->finished_ms - a.recorded->finished_ms);
    return cudaSuccess;
  });
}
cudaError_t cudaEventElapsedTime_v2(float* ms, cudaEvent_t begin, cudaEvent_t end) {
  return cudaEventElapsedTime(ms, begin, end);
}

cudaError_t cudaLaunchHostFunc(cudaStream_t handle, cudaHostFn_t function, void* argument) {
  return api([&] {
    scheduler().enqueue(stream_of(handle), "cudaLaunchHostFunc", [=](Operation&) {
      function(argument);
      return Progress::done;
    });
    scheduler().run_in_background();
    return cudaSuccess;
  });
}

}  // extern "C"
