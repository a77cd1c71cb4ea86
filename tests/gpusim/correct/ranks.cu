// Collectives between three processes. The last cases are mistakes, for seeded_test.py.
#include <nccl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "harness.cuh"

int failures = 0;
const char* running = "";
constexpr int ranks = 3, n = 40000;  // more than one chunk

struct Rank {
  int rank = 0;
  ncclComm_t comm = nullptr;
  cudaStream_t compute, stream;
  cudaEvent_t event;

  Rank(int r, ncclUniqueId id, int device) : rank(r) {
    cudaSetDevice(device);
    cudaStreamCreateWithFlags(&compute, cudaStreamNonBlocking);
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    ncclResult_t state = ncclCommInitRankConfig(&comm, ranks, id, r, &config);
    while (state == ncclInProgress) ncclCommGetAsyncError(comm, &state);
    check(state == ncclSuccess, ncclGetLastError(comm));
  }
  void sum(float* x, size_t count) {
    check(ncclAllReduce(x, x, count, ncclFloat32, ncclSum, comm, stream) == ncclSuccess, "all-reduce");
  }
};

static __global__ void fill(float* x, float v) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] = v * (i % 1000);
}

static void collectives(Rank& r) {
  Array<float> x(n);
  for (int again = 0; again < 3; ++again) {
    fill<<<blocks(n, 256), 256, 0, r.compute>>>(x, r.rank + 1);
    cudaEventRecord(r.event, r.compute);
    cudaStreamWaitEvent(r.stream, r.event, 0);
    r.sum(x, n);
    cudaEventRecord(r.event, r.stream);
    cudaStreamWaitEvent(r.compute, r.event, 0);
  }
  cudaStreamSynchronize(r.compute);
  x.down();
  for (int i = 0; i < n; ++i) check(x.host[i] == 6 * (i % 1000), "sum", x.host[i], 6 * (i % 1000));

  Array<int> mine(std::vector<int>(30, r.rank + 1)), all(90), part(10), copy(30);
  ncclAllGather(mine, all, 30, ncclInt32, r.comm, r.stream);
  ncclReduceScatter(mine, part, 10, ncclInt32, ncclSum, r.comm, r.stream);
  ncclBroadcast(mine, copy, 30, ncclInt32, 2, r.comm, r.stream);
  ncclReduce(mine, mine, 30, ncclInt32, ncclMax, 1, r.comm, r.stream);
  cudaStreamSynchronize(r.stream);
  all.down(), part.down(), copy.down(), mine.down();
  for (int i = 0; i < 90; ++i) check(all.host[i] == i / 30 + 1, "gathered", all.host[i], i / 30 + 1);
  for (int v : part.host) check(v == 6, "scattered", v, 6);
  for (int v : copy.host) check(v == 3, "broadcast", v, 3);
  for (int v : mine.host) check(v == (r.rank == 1 ? 3 : r.rank + 1), "reduced", v);
}

static void no_wait_before_a_sum(Rank& r) {
  Array<float> x(std::vector<float>(n, 1.0f));
  fill<<<blocks(n, 256), 256, 0, r.compute>>>(x, 1);
  r.sum(x, n);  // without an event between the streams
  cudaDeviceSynchronize();
}
static void counts_differ(Rank& r) {
  Array<float> x(std::vector<float>(n, 1.0f));
  r.sum(x, r.rank == 1 ? n - 1 : n);
  cudaDeviceSynchronize();
}

int main(int argc, char** argv) {
  const char* name = argc > 1 ? argv[1] : "collectives";
  ncclUniqueId id;
  ncclGetUniqueId(&id);
  int bad = 0;
  pid_t children[ranks];
  for (int k = 0; k < ranks; ++k) {
    children[k] = fork();  // before any CUDA call
    if (children[k] != 0) continue;
    running = name;
    Rank r(k, id, std::strcmp(name, "one_card_for_all") ? k : 0);
    if (failures == 0 && !std::strcmp(name, "collectives")) collectives(r);
    if (!std::strcmp(name, "no_wait_before_a_sum")) no_wait_before_a_sum(r);
    if (!std::strcmp(name, "counts_differ")) counts_differ(r);
    std::exit(failures > 0);
  }
  for (pid_t child : children) {
    int status = 0;
    waitpid(child, &status, 0);
    bad = std::max(bad, WIFEXITED(status) ? WEXITSTATUS(status) : 255);
  }
  return bad;
}
