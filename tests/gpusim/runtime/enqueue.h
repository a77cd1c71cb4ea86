// For the other stand-ins (cuBLAS, NCCL): put work on a simulated stream. The functions are exported by the
// stand-in for libcudart.
#pragma once

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

// What the work reads or writes: `count` pieces of `bytes` bytes, `pitch` bytes apart.
typedef struct {
  const void* begin;
  size_t bytes;
  int write;
  size_t count, pitch;
} gpusim_range;

// run(argument) is called when the stream comes to it, and again while it returns 0 ("not yet": it waits for
// another process); 1 is done. Then, or if it will never run, destroy(argument). Before its first call the
// ranges are checked: bounds, uninitialised reads, order against other operations.
cudaError_t gpusim_enqueue(cudaStream_t stream, const char* name, const gpusim_range* ranges, size_t count,
                           int (*run)(void* argument), void* argument, void (*destroy)(void* argument));

// From here on queued work runs now and then although the host calls nothing.
void gpusim_progress_in_background(void);

// Where the bytes behind a device pointer lie; to be used inside run() only.
void* gpusim_bytes(const void* device_pointer);

// One line of the report, and from then on every CUDA call fails.
void gpusim_report(const char* kind, const char* text);

#ifdef __cplusplus
}
#endif
