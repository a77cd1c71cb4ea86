// Missing synchronisation between streams and the host, one mistake a case.
#include <cublas_v2.h>

#include "correct/harness.cuh"

constexpr int n = 1024;
static __global__ void add(float* y, float v) { y[threadIdx.x] += v; }
static __global__ void scale(float* y, const float* x) { y[threadIdx.x] = 2 * x[threadIdx.x]; }

struct Setting {
  cudaStream_t a, b;
  cudaEvent_t event;
  float *x, *y, *pinned;
  Setting() {
    cudaStreamCreateWithFlags(&a, cudaStreamNonBlocking);
    cudaStreamCreateWithFlags(&b, cudaStreamNonBlocking);
    cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
    cudaMalloc(&x, n * sizeof(float));
    cudaMalloc(&y, n * sizeof(float));
    cudaMallocHost(&pinned, n * sizeof(float));
    for (int i = 0; i < n; ++i) pinned[i] = 1;
    cudaMemset(x, 0, n * sizeof(float));
    cudaMemset(y, 0, n * sizeof(float));
    cudaDeviceSynchronize();
  }
};

GPU_CASE(missing_stream_wait) {
  Setting s;
  add<<<1, n, 0, s.a>>>(s.x, 1);
  cudaEventRecord(s.event, s.a);
  scale<<<1, n, 0, s.b>>>(s.y, s.x);  // without cudaStreamWaitEvent(s.b, s.event)
  cudaDeviceSynchronize();
}
GPU_CASE(captured_but_not_sent) {
  Setting s;
  float* fresh;
  cudaMalloc(&fresh, n * sizeof(float));
  cudaGraph_t graph;
  cudaStreamBeginCapture(s.a, cudaStreamCaptureModeRelaxed);
  cudaMemsetAsync(fresh, 0, n * sizeof(float), s.a);
  cudaStreamEndCapture(s.a, &graph);  // and no cudaGraphLaunch
  scale<<<1, n, 0, s.a>>>(s.y, fresh);
  cudaDeviceSynchronize();
}
GPU_CASE(waits_for_a_stream_that_is_captured) {
  Setting s;
  cudaStreamBeginCapture(s.a, cudaStreamCaptureModeRelaxed);
  add<<<1, n, 0, s.a>>>(s.x, 1);
  cudaStreamSynchronize(s.a);
}
GPU_CASE(graph_update_with_another_kernel) {
  Setting s;
  cudaGraphExec_t exec = nullptr;
  for (int round = 0; round < 2; ++round) {
    cudaGraph_t graph;
    cudaGraphExecUpdateResultInfo info;
    cudaStreamBeginCapture(s.a, cudaStreamCaptureModeRelaxed);
    if (round == 0)
      add<<<1, n, 0, s.a>>>(s.x, 1);
    else
      scale<<<1, n, 0, s.a>>>(s.y, s.x);
    cudaStreamEndCapture(s.a, &graph);
    if (round == 0)
      cudaGraphInstantiate(&exec, graph, 0);
    else
      cudaGraphExecUpdate(exec, graph, &info);
    cudaGraphLaunch(exec, s.a);
  }
  cudaDeviceSynchronize();
}
GPU_CASE(freed_before_captured_launches_are_sent) {
  Setting s;
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  cudaStreamBeginCapture(s.a, cudaStreamCaptureModeRelaxed);
  add<<<1, n, 0, s.a>>>(s.x, 1);
  cudaStreamEndCapture(s.a, &graph);
  cudaFree(s.x);
  cudaGraphInstantiate(&exec, graph, 0);
  cudaGraphLaunch(exec, s.a);
  cudaDeviceSynchronize();
}
GPU_CASE(missing_event) {
  Setting s;
  add<<<1, n, 0, s.a>>>(s.x, 1);
  cudaStreamWaitEvent(s.b, s.event, 0);  // the event was never recorded: no wait at all
  scale<<<1, n, 0, s.b>>>(s.y, s.x);
  cudaDeviceSynchronize();
}
GPU_CASE(event_recorded_too_early) {
  Setting s;
  cudaEventRecord(s.event, s.a);
  add<<<1, n, 0, s.a>>>(s.x, 1);
  cudaStreamWaitEvent(s.b, s.event, 0);
  scale<<<1, n, 0, s.b>>>(s.y, s.x);
  cudaDeviceSynchronize();
}
GPU_CASE(write_after_an_unfinished_read) {
  Setting s;
  scale<<<1, n, 0, s.a>>>(s.y, s.x);
  cudaMemsetAsync(s.x, 0, 4, s.b);
  cudaDeviceSynchronize();
}
GPU_CASE(copy_beside_a_kernel) {
  Setting s;
  add<<<1, n, 0, s.a>>>(s.x, 1);
  std::vector<float> host(n);
  cudaMemcpy(host.data(), s.x, n * sizeof(float),
             cudaMemcpyDeviceToHost);  // does not wait for a non-blocking stream
  cudaDeviceSynchronize();
}
GPU_CASE(product_beside_a_kernel) {
  Setting s;
  cublasHandle_t handle;
  cublasCreate(&handle);
  cublasSetStream(handle, s.b);
  add<<<1, n, 0, s.a>>>(s.x, 1);
  float one = 1, zero = 0;
  cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 8, 8, 8, &one, s.x, 8, s.x + 64, 8, &zero, s.y, 8);
  cudaDeviceSynchronize();
}
GPU_CASE(product_of_uninitialised_memory) {
  Setting s;
  cublasHandle_t handle;
  cublasCreate(&handle);
  float one = 1, zero = 0, *z;
  cudaMalloc(&z, 64 * sizeof(float));
  cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 8, 8, 8, &one, s.x, 8, z, 8, &zero, s.y, 8);
  cudaDeviceSynchronize();
}
GPU_CASE(host_reads_before_synchronisation) {
  Setting s;
  cudaMemcpyAsync(s.pinned, s.x, n * sizeof(float), cudaMemcpyDeviceToHost, s.a);
  volatile float seen = s.pinned[7];
  (void)seen;
  cudaStreamSynchronize(s.a);
}
GPU_CASE(host_writes_a_buffer_in_flight) {
  Setting s;
  cudaMemcpyAsync(s.x, s.pinned, n * sizeof(float), cudaMemcpyHostToDevice, s.a);
  s.pinned[7] = 3;
  cudaStreamSynchronize(s.a);
}
GPU_CASE(buffer_reused_by_another_copy) {
  Setting s;
  cudaMemcpyAsync(s.x, s.pinned, n * sizeof(float), cudaMemcpyHostToDevice, s.a);
  cudaMemcpyAsync(s.pinned, s.y, n * sizeof(float), cudaMemcpyDeviceToHost, s.b);
  cudaDeviceSynchronize();
}
GPU_CASE(pinned_memory_freed_in_flight) {
  Setting s;
  cudaMemcpyAsync(s.x, s.pinned, n * sizeof(float), cudaMemcpyHostToDevice, s.a);
  cudaFreeHost(s.pinned);
  cudaDeviceSynchronize();
}
GPU_CASE(freed_on_another_stream) {
  Setting s;
  float* z;
  cudaMallocAsync(&z, n * sizeof(float), s.a);
  cudaMemsetAsync(z, 0, n * sizeof(float), s.a);
  cudaFreeAsync(z, s.b);
  cudaDeviceSynchronize();
}
GPU_CASE(copy_past_the_end) {
  Setting s;
  std::vector<float> host(n + 1);
  cudaMemcpy(host.data(), s.x, (n + 1) * sizeof(float), cudaMemcpyDeviceToHost);
}
GPU_CASE(uninitialised_copy_to_the_host) {
  float* z;
  std::vector<float> host(n);
  cudaMalloc(&z, n * sizeof(float));
  cudaMemcpy(host.data(), z, n * sizeof(float), cudaMemcpyDeviceToHost);
}
GPU_CASE(freed_twice) {
  Setting s;
  cudaFree(s.x);
  cudaFree(s.x);
}
GPU_CASE(host_follows_a_device_pointer) {
  Setting s;
  s.x[3] = 1;
}
GPU_CASE(memory_of_another_device) {
  Setting s;
  cudaSetDevice(1);
  add<<<1, n>>>(s.x, 1);
  cudaDeviceSynchronize();
}
