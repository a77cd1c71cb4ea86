// Warps and blocks that add up: shuffles, votes, atomics, the last block that finishes.
#include "harness.cuh"

static __device__ float block_sum(float v) {
  __shared__ float parts[32];
  for (int k = 16; k; k >>= 1) v += __shfl_xor_sync(0xffffffffu, v, k);
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = v;
  __syncthreads();
  v = threadIdx.x < blockDim.x / 32 ? parts[threadIdx.x] : 0;
  if (threadIdx.x < 32)
    for (int k = 16; k; k >>= 1) v += __shfl_down_sync(0xffffffffu, v, k);
  __syncthreads();  // parts may be used again
  return v;
}
static __global__ void sum(float* out, const float* x, int n) {
  float v = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) v += x[i];
  v = block_sum(v);
  if (threadIdx.x == 0) out[blockIdx.x] = v;
}
GPU_CASE(block_sum_with_shuffles) {
  Array<float> x(noise(5003, 5)), out(4);
  sum<<<4, 256>>>(out, x, 5003);
  out.down();
  double want = 0, got = 0;
  for (float v : x.host) want += v;
  for (float v : out.host) got += v;
  check_near(got, want, 1e-5, "sum");
}

static __global__ void shared_tree(float* out, const float* x) {
  extern __shared__ float tree[];
  tree[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
  __syncthreads();
  for (unsigned k = blockDim.x / 2; k; k /= 2) {
    if (threadIdx.x < k) tree[threadIdx.x] += tree[threadIdx.x + k];
    __syncthreads();
  }
  if (threadIdx.x == 0) out[blockIdx.x] = tree[0];
}
GPU_CASE(tree_in_dynamic_shared_memory) {
  Array<float> x(noise(512, 6)), out(2);
  shared_tree<<<2, 256, 256 * sizeof(float)>>>(out, x);
  out.down();
  for (int b = 0; b < 2; ++b) {
    double want = 0;
    for (int i = 0; i < 256; ++i) want += x.host[b * 256 + i];
    check_near(out.host[b], want, 1e-5, "sum");
  }
}

static __global__ void histogram(unsigned* bins, const unsigned* x, int n) {
  __shared__ unsigned local[16];
  if (threadIdx.x < 16) local[threadIdx.x] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
    atomicAdd(&local[x[i] % 16], 1u);
  __syncthreads();
  if (threadIdx.x < 16) atomicAdd(&bins[threadIdx.x], local[threadIdx.x]);
}
GPU_CASE(histogram_with_atomics) {
  int n = 3001;
  Array<unsigned> x(n), bins(std::vector<unsigned>(16));
  for (int i = 0; i < n; ++i) x.host[i] = static_cast<unsigned>(i) * 2654435761u >> 7;
  x.up();
  histogram<<<3, 64>>>(bins, x, n);
  bins.down();
  std::vector<unsigned> want(16);
  for (unsigned v : x.host) ++want[v % 16];
  for (int i = 0; i < 16; ++i) check(bins.host[i] == want[i], "bin", bins.host[i], want[i]);
}

static __device__ unsigned finished = 0;
static __global__ void one_pass_sum(float* out, float* parts, const float* x, int n) {
  __shared__ bool last;
  float v = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) v += x[i];
  v = block_sum(v);
  if (threadIdx.x == 0) {
    parts[blockIdx.x] = v;
    __threadfence();
    last = atomicAdd(&finished, 1u) == gridDim.x - 1;
    __threadfence();
  }
  __syncthreads();
  if (!last) return;
  v = threadIdx.x < gridDim.x ? parts[threadIdx.x] : 0;
  v = block_sum(v);
  if (threadIdx.x == 0) {
    *out = v;
    finished = 0;
  }
}
GPU_CASE(last_block_reads_the_others) {
  Array<float> x(noise(2000, 7)), parts(5), out(1);
  for (int again = 0; again < 2; ++again) one_pass_sum<<<5, 64>>>(out, parts, x, 2000);
  double want = 0;
  for (float v : x.host) want += v;
  check_near(out.down()[0], want, 1e-5, "sum");
}

static __global__ void warp_tricks(unsigned* out, const int* x) {
  int i = threadIdx.x, lane = i % 32, v = x[i];
  unsigned odd = __ballot_sync(0xffffffffu, v & 1);
  unsigned prefix = __popc(odd & ((1u << lane) - 1));
  int scan = v;
  for (int k = 1; k < 32; k *= 2) {
    int below = __shfl_up_sync(0xffffffffu, scan, k);
    if (lane >= k) scan += below;
  }
  int segment = __shfl_sync(0xffffffffu, v, lane & ~7, 8);
  unsigned any = __any_sync(0xffffffffu, v > 97), all = __all_sync(0xffffffffu, v >= 0);
  unsigned same = __match_any_sync(0xffffffffu, v % 4);
  unsigned half = lane < 16 ? __ballot_sync(0xffffu, v & 2) : __ballot_sync(0xffff0000u, v & 4);
  out[i] = odd ^ prefix * 3 ^ scan * 5 ^ segment * 7 ^ any * 11 ^ all * 13 ^ same * 17 ^ half * 19;
}
GPU_CASE(warp_votes_scans_and_matches) {
  Array<int> x(64);
  for (int i = 0; i < 64; ++i) x.host[i] = i * 37 % 101;
  x.up();
  Array<unsigned> out(64);
  warp_tricks<<<1, 64>>>(out, x);
  out.down();
  for (int i = 0; i < 64; ++i) {
    int lane = i % 32;
    const int* w = &x.host[i - lane];
    unsigned odd = 0, same = 0, half = 0, any = 0;
    int scan = 0;
    for (int k = 0; k < 32; ++k) {
      odd |= unsigned(w[k] & 1) << k;
      same |= unsigned(w[k] % 4 == w[lane] % 4) << k;
      any |= w[k] > 97;
      if (k <= lane) scan += w[k];
      if (k / 16 == lane / 16) half |= unsigned((w[k] & (k < 16 ? 2 : 4)) != 0) << k;
    }
    unsigned prefix = __builtin_popcount(odd & ((1u << lane) - 1));
    unsigned want =
        odd ^ prefix * 3 ^ scan * 5 ^ w[lane & ~7] * 7 ^ any * 11 ^ 1 * 13 ^ same * 17 ^ half * 19;
    check(out.host[i] == want, "lane", out.host[i], want);
  }
}

static __global__ void warp_exchange(float* y, const float* x) {
  __shared__ float box[64];
  int i = threadIdx.x;
  box[i] = x[i];
  __syncwarp();
  float v = box[i ^ 5];
  __syncwarp();
  box[i] = 2 * v;
  __syncwarp();
  y[i] = box[i ^ 3];
}
GPU_CASE(exchange_within_a_warp) {
  Array<float> x(noise(64, 8)), y(64);
  warp_exchange<<<1, 64>>>(y, x);
  y.down();
  for (int i = 0; i < 64; ++i) check(y.host[i] == 2 * x.host[i ^ 6], "y", y.host[i], x.host[i ^ 6]);
}

static __global__ void all_atomics(int* v, unsigned long long* w, float* f, double* d) {
  int i = threadIdx.x;
  atomicAdd(&v[0], i);
  atomicMax(&v[1], i);
  atomicMin(&v[2], -i);
  atomicOr(&v[3], 1 << (i % 31));
  atomicAnd(&v[4], ~(1 << (i % 31)));
  atomicXor(&v[5], i);
  atomicSub(&v[6], 2);
  atomicInc(reinterpret_cast<unsigned*>(&v[7]), 9);
  atomicAdd(w, 1ull << 33);
  atomicMax(w + 1, static_cast<unsigned long long>(i) << 40);
  atomicAdd(f, 0.5f);
  atomicAdd(d, 0.25);
  for (int old = v[8], seen = -1; seen != old;) {  // a loop of compare-and-swap, as for any other operation
    seen = old;
    old = atomicCAS(&v[8], seen, seen + 3);
  }
}
GPU_CASE(every_atomic) {
  Array<int> v(std::vector<int>{0, 0, 0, 0, -1, 0, 0, 0, 0});
  Array<unsigned long long> w(std::vector<unsigned long long>(2));
  Array<float> f(std::vector<float>(1));
  Array<double> d(std::vector<double>(1));
  // v[8] is read without an atomic first, which is a race: one thread at a time has none.
  for (int k = 0; k < 3; ++k) all_atomics<<<1, 1>>>(v, w, f, d);
  v.down();
  const int want[] = {0, 0, 0, 1, ~1, 0, -6, 3, 9};
  for (int k = 0; k < 9; ++k) check(v.host[k] == want[k], "v", v.host[k], want[k]);
  check(w.down()[0] == 3ull << 33, "64 bits");
  check(f.down()[0] == 1.5f && d.down()[0] == 0.75, "floats");
}
