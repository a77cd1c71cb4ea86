// The runtime around the kernels: streams and events used as they should be, pinned memory, cuBLAS, errors.
#include <cublas_v2.h>

#include <cstring>

#include "harness.cuh"

static __global__ void add(float* y, float v, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] += v;
}

struct Streams {
  cudaStream_t a, b;
  cudaEvent_t done, copied;
  Streams() {
    cudaStreamCreateWithFlags(&a, cudaStreamNonBlocking);
    cudaStreamCreateWithPriority(&b, cudaStreamNonBlocking, -1);
    cudaEventCreateWithFlags(&done, cudaEventDisableTiming);
    cudaEventCreateWithFlags(&copied, cudaEventDisableTiming);
  }
  ~Streams() {
    cudaStreamDestroy(a);
    cudaStreamDestroy(b);
    cudaEventDestroy(done);
    cudaEventDestroy(copied);
  }
};

GPU_CASE(two_streams_and_an_event) {
  int n = 300;
  Streams s;
  float *x, *host;
  check_cuda(cudaMallocAsync(&x, n * 4, s.a), "malloc");
  check_cuda(cudaMallocHost(&host, n * 4), "pinned");
  for (int i = 0; i < n; ++i) host[i] = i;
  cudaMemcpyAsync(x, host, n * 4, cudaMemcpyHostToDevice, s.a);
  add<<<3, 128, 0, s.a>>>(x, 1, n);
  cudaEventRecord(s.done, s.a);
  cudaStreamWaitEvent(s.b, s.done, 0);
  add<<<3, 128, 0, s.b>>>(x, 2, n);
  cudaMemcpyAsync(host, x, n * 4, cudaMemcpyDeviceToHost, s.b);
  cudaEventRecord(s.copied, s.b);
  check_cuda(cudaEventSynchronize(s.copied), "wait");
  for (int i = 0; i < n; ++i) check(host[i] == i + 3, "host", host[i], i + 3);
  cudaStreamWaitEvent(s.a, s.copied, 0);
  check_cuda(cudaFreeAsync(x, s.a), "free");
  check_cuda(cudaStreamSynchronize(s.a), "wait");
  cudaFreeHost(host);
}

GPU_CASE(legacy_stream_orders_blocking_ones) {
  int n = 100;
  Array<float> x(std::vector<float>(n, 1.f));
  cudaStream_t s;
  cudaStreamCreate(&s);
  add<<<1, 128, 0, s>>>(x, 1, n);
  add<<<1, 128>>>(x, 2, n);
  add<<<1, 128, 0, s>>>(x, 3, n);
  x.down();  // cudaMemcpy is on the legacy stream
  for (float v : x.host) check(v == 7, "x", v, 7);
  cudaStreamDestroy(s);
}

GPU_CASE(captured_launches_run_when_they_are_sent) {
  int n = 300;
  Array<float> x(std::vector<float>(n, 0.f)), y(std::vector<float>(n, 0.f));
  Streams s;
  cudaGraphExec_t exec = nullptr;
  for (int round = 0; round < 3; ++round) {  // the second and third change arguments and sizes
    cudaGraph_t graph;
    check_cuda(cudaStreamBeginCapture(s.a, cudaStreamCaptureModeRelaxed), "capture");
    add<<<3, 128, 0, s.a>>>(x, 1.f + round, n);
    cudaMemcpyAsync(y, x, n * 4, cudaMemcpyDeviceToDevice, s.a);
    if (round < 2)
      add<<<3, 128, 0, s.a>>>(y, 10, n);
    else
      add<<<2, 256, 0, s.a>>>(y, 20, n);
    check_cuda(cudaStreamEndCapture(s.a, &graph), "capture");
    size_t count = 0;
    cudaGraphGetNodes(graph, nullptr, &count);
    check(count == 3, "nodes", count, 3);
    cudaGraphExecUpdateResultInfo info;
    if (exec == nullptr)
      check_cuda(cudaGraphInstantiate(&exec, graph, 0), "instantiate");
    else
      check_cuda(cudaGraphExecUpdate(exec, graph, &info), "update");
    check_cuda(cudaGraphDestroy(graph), "destroy");
    check_cuda(cudaGraphLaunch(exec, s.a), "launch");
  }
  check_cuda(cudaGraphLaunch(exec, s.a), "launch");  // the last once more
  check_cuda(cudaStreamSynchronize(s.a), "wait");
  check_cuda(cudaGraphExecDestroy(exec), "destroy");
  for (float v : x.down()) check(v == 9, "x", v, 9);
  for (float v : y.down()) check(v == 29, "y", v, 29);
}

GPU_CASE(polling_ends) {
  Array<float> x(std::vector<float>(64, 0.f));
  Streams s;
  for (int k = 0; k < 5; ++k) add<<<1, 64, 0, s.a>>>(x, 1, 64);
  cudaEventRecord(s.done, s.a);
  long polls = 0;
  while (cudaEventQuery(s.done) == cudaErrorNotReady) ++polls;
  while (cudaStreamQuery(s.a) == cudaErrorNotReady) ++polls;
  cudaGetLastError();
  check(x.down()[0] == 5, "x", x.host[0], 5);
}

GPU_CASE(host_function_without_polling) {
  volatile int called = 0;
  Streams s;
  cudaLaunchHostFunc(
      s.a, [](void* p) { *static_cast<volatile int*>(p) = 1; }, const_cast<int*>(&called));
  while (!called) {
  }
  check_cuda(cudaStreamSynchronize(s.a), "wait");
}

GPU_CASE(errors_as_cuda_gives_them) {
  size_t free_bytes = 0, total = 0;
  check_cuda(cudaMemGetInfo(&free_bytes, &total), "info");
  void* p = nullptr;
  check(cudaMalloc(&p, total + 1) == cudaErrorMemoryAllocation, "too much memory");
  check(cudaGetLastError() == cudaErrorMemoryAllocation, "remembered");
  check(cudaGetLastError() == cudaSuccess, "and cleared");
  add<<<1, 2000>>>(nullptr, 0, 0);
  check(cudaGetLastError() == cudaErrorInvalidConfiguration, "too many threads");
  cudaDeviceProp properties;
  check_cuda(cudaGetDeviceProperties(&properties, 0), "properties");
  check(properties.warpSize == 32 && properties.totalGlobalMem == total, "properties");
  int blocks = 0;
  check_cuda(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, add, 256, 0), "occupancy");
  check(blocks > 0, "occupancy");
  cudaFuncAttributes attributes;
  check_cuda(cudaFuncGetAttributes(&attributes, add), "attributes");
}

GPU_CASE(cublas_products) {
  int m = 7, n = 5, k = 9;
  Streams s;
  cublasHandle_t handle;
  check(cublasCreate(&handle) == CUBLAS_STATUS_SUCCESS, "create");
  cublasSetStream(handle, s.a);
  for (int ta = 0; ta < 2; ++ta)
    for (int tb = 0; tb < 2; ++tb) {
      int lda = (ta ? k : m) + 2, ldb = tb ? n : k;
      Array<float> a(noise(lda * (ta ? m : k), 40)), b(noise(ldb * (tb ? k : n), 41)), c(m * n);
      cudaDeviceSynchronize();
      for (float beta : {0.f, 2.f}) {  // with 0, C is not read: nobody has written it
        float alpha = 1.5f;
        check(cublasSgemm(handle, ta ? CUBLAS_OP_T : CUBLAS_OP_N, tb ? CUBLAS_OP_T : CUBLAS_OP_N, m, n, k,
                          &alpha, a, lda, b, ldb, &beta, c, m) == CUBLAS_STATUS_SUCCESS,
              "gemm");
        cudaStreamSynchronize(s.a);
        std::vector<float> before = c.host;
        c.down();
        for (int i = 0; i < m; ++i)
          for (int j = 0; j < n; ++j) {
            double want = beta ? beta * before[j * m + i] : 0;
            for (int l = 0; l < k; ++l)
              want += alpha * a.host[ta ? i * lda + l : l * lda + i] * b.host[tb ? l * ldb + j : j * ldb + l];
            check_near(c.host[j * m + i], want, 1e-5, "c");
          }
      }
    }
  cublasDestroy(handle);
}

static __device__ float bias = 1;
static __global__ void add_bias(float* y) { y[threadIdx.x] += bias; }
GPU_CASE(two_devices) {
  int count = 0;
  check_cuda(cudaGetDeviceCount(&count), "count");
  if (count < 2) return;
  float two = 2;
  check_cuda(cudaMemcpyToSymbol(bias, &two, 4), "to symbol");  // of device 0 only
  Array<float> x(std::vector<float>(32, 0.f));
  add_bias<<<1, 32>>>(x);
  check_cuda(cudaDeviceSynchronize(), "wait");
  check_cuda(cudaSetDevice(1), "set");
  {
    Array<float> y(32);
    check_cuda(cudaMemcpyPeer(y, 1, x, 0, 128), "peer copy");
    add_bias<<<1, 32>>>(y);
    for (float v : y.down()) check(v == 3, "y", v, 3);
    check_cuda(cudaDeviceEnablePeerAccess(0, 0), "peer access");
    add_bias<<<1, 32>>>(x);
    check_cuda(cudaDeviceSynchronize(), "wait");
  }
  check_cuda(cudaSetDevice(0), "set");
  for (float v : x.down()) check(v == 3, "x", v, 3);
}
