// One mistake a case. The simulator must name each: see seeded_test.py for what it must say.
#include "correct/harness.cuh"

constexpr int n = 64;
static float* fresh(size_t count) {  // zeros on the device
  float* p = nullptr;
  cudaMalloc(&p, count * sizeof(float));
  cudaMemset(p, 0, count * sizeof(float));
  return p;
}

static __global__ void no_barrier(float* y) {
  __shared__ float s[n];
  s[threadIdx.x] = threadIdx.x;
  y[threadIdx.x] = s[n - 1 - threadIdx.x];
}
GPU_CASE(missing_barrier) { no_barrier<<<1, n>>>(fresh(n)); }

static __global__ void no_second_barrier(float* y) {
  __shared__ float s;
  for (int k = 0; k < 3; ++k) {
    if (threadIdx.x == 0) s = k;
    __syncthreads();
    y[threadIdx.x] += s;
  }  // the next round's write does not wait for this round's reads
}
GPU_CASE(missing_barrier_at_the_end_of_a_loop) { no_second_barrier<<<1, n>>>(fresh(n)); }

static __global__ void diverge(float* y) {
  __shared__ float s[n];
  s[threadIdx.x] = 1;
  if (threadIdx.x < 40) {
    __syncthreads();
    y[threadIdx.x] = s[threadIdx.x ^ 1];
  } else {
    y[threadIdx.x] = 2;
    __syncthreads();
    s[threadIdx.x] = 3;
  }
}
GPU_CASE(divergent_barrier) { diverge<<<1, n>>>(fresh(n)); }

static __global__ void leave_early(float* y, int count) {
  __shared__ float s[n];
  if (threadIdx.x >= count) return;
  s[threadIdx.x] = y[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = s[count - 1 - threadIdx.x];
}
GPU_CASE(exit_before_a_barrier) { leave_early<<<1, n>>>(fresh(n), 50); }

static __global__ void read_shared(float* y) {
  __shared__ float s[n];
  if (threadIdx.x < n - 1) s[threadIdx.x] = 1;
  __syncthreads();
  y[threadIdx.x] = s[threadIdx.x];
}
GPU_CASE(uninitialised_shared_memory) { read_shared<<<1, n>>>(fresh(n)); }

static __global__ void copy(float* y, const float* x, int count) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) y[i] = x[i];
}
GPU_CASE(uninitialised_device_memory) {
  float* x = nullptr;
  cudaMalloc(&x, n * sizeof(float));
  copy<<<1, n>>>(fresh(n), x, n);
}

static __global__ void half_filled(float* y, int from) {
  float a[8];
  for (int k = from; k < 8; ++k) a[(k * 3) % 8] = k;
  y[threadIdx.x] = a[threadIdx.x % 8];
}
GPU_CASE(uninitialised_local_memory) { half_filled<<<1, n>>>(fresh(n), 2); }

GPU_CASE(out_of_bounds_write) { copy<<<1, n>>>(fresh(n - 1), fresh(n), n); }
GPU_CASE(out_of_bounds_read) { copy<<<1, n>>>(fresh(n), fresh(n - 1), n); }

static __global__ void past_shared(float* y, int at) {
  __shared__ float s[n], after[n];
  s[threadIdx.x] = after[threadIdx.x] = 1;
  __syncthreads();
  if (threadIdx.x == 3) s[at] = 5;
  __syncthreads();
  y[threadIdx.x] = s[threadIdx.x] + after[threadIdx.x];
}
GPU_CASE(out_of_bounds_shared) { past_shared<<<1, n>>>(fresh(n), n); }

static __global__ void past_dynamic(float* y) {
  extern __shared__ float d[];
  d[threadIdx.x] = y[threadIdx.x];
}
GPU_CASE(too_little_dynamic_shared_memory) { past_dynamic<<<1, n, (n - 1) * sizeof(float)>>>(fresh(n)); }

GPU_CASE(use_after_free) {
  float* x = fresh(n);
  cudaFree(x);
  copy<<<1, n>>>(fresh(n), x, n);
}

static __global__ void add_up(float* sum) { *sum += threadIdx.x; }
GPU_CASE(unguarded_sum_in_a_block) { add_up<<<1, n>>>(fresh(1)); }
static __global__ void add_up_blocks(float* sum) {
  if (threadIdx.x == 0) *sum += blockIdx.x;
}
GPU_CASE(unguarded_sum_over_blocks) { add_up_blocks<<<4, 32>>>(fresh(1)); }
static __global__ void mixed_sum(float* sum) {
  if (threadIdx.x == 0) *sum = 1;
  atomicAdd(sum, 1.0f);
}
GPU_CASE(plain_write_beside_atomics) { mixed_sum<<<1, n>>>(fresh(1)); }

static __global__ void half_warp(float* y) {
  float v = threadIdx.x;
  if (threadIdx.x % 32 < 16) {
    for (int k = 8; k; k /= 2) v += __shfl_xor_sync(0xffffffffu, v, k);
    y[threadIdx.x] = v;
  }
}
GPU_CASE(full_mask_shuffle_in_half_a_warp) { half_warp<<<1, n>>>(fresh(n)); }
static __global__ void absent_lane(float* y) {
  float v = threadIdx.x;
  if (threadIdx.x < 16) y[threadIdx.x] = __shfl_sync(0x0000ffffu, v, 20);
}
GPU_CASE(shuffle_from_an_absent_lane) { absent_lane<<<1, 32>>>(fresh(32)); }
static __global__ void vote_apart(unsigned* y) {
  if (threadIdx.x & 1)
    y[threadIdx.x] = __ballot_sync(0xffffffffu, threadIdx.x > 9);
  else
    y[threadIdx.x] = __popc(__ballot_sync(0xffffffffu, threadIdx.x > 7));
}
GPU_CASE(vote_at_two_places) { vote_apart<<<1, 32>>>(reinterpret_cast<unsigned*>(fresh(32))); }

static __global__ void no_syncwarp(float* y) {
  __shared__ float s[n];
  s[threadIdx.x] = y[threadIdx.x];
  y[threadIdx.x] = s[threadIdx.x ^ 1];
}
GPU_CASE(missing_syncwarp) { no_syncwarp<<<1, n>>>(fresh(n)); }
static __global__ void only_a_shuffle(float* y) {
  __shared__ float s[n];
  s[threadIdx.x] = y[threadIdx.x];
  float v = __shfl_xor_sync(0xffffffffu, y[threadIdx.x], 1);  // orders no memory
  y[threadIdx.x] = s[threadIdx.x ^ 1] + v;
}
GPU_CASE(shuffle_in_place_of_syncwarp) { only_a_shuffle<<<1, n>>>(fresh(n)); }

static __global__ void load4(float* y, const float* x) {
  float4 v = *reinterpret_cast<const float4*>(x + 1 + 4 * threadIdx.x);
  y[threadIdx.x] = v.x + v.y + v.z + v.w;
}
GPU_CASE(misaligned_float4) { load4<<<1, 8>>>(fresh(n), fresh(n)); }

static __device__ unsigned arrived;
static __global__ void no_fence(float* out, float* parts) {
  __shared__ bool last;
  if (threadIdx.x == 0) {
    parts[blockIdx.x] = blockIdx.x;
    last = atomicAdd(&arrived, 1u) == gridDim.x - 1;  // without __threadfence before
    __threadfence();
  }
  __syncthreads();
  if (last && threadIdx.x < gridDim.x) atomicAdd(out, parts[threadIdx.x]);
}
GPU_CASE(missing_threadfence) { no_fence<<<4, 32>>>(fresh(1), fresh(4)); }

static __global__ void for_ever(volatile float* y) {
  while (y[0] == 0) {
  }
}
GPU_CASE(endless_loop) { for_ever<<<1, 32>>>(fresh(1)); }

static __global__ void checked(float* y) {
  if (y[threadIdx.x] != 1) __trap();
}
GPU_CASE(trap) { checked<<<1, 32>>>(fresh(n)); }

// A shadow for each word would see races here that are none; a bug at byte distance must be seen.
static __global__ void bytes(unsigned char* y, int shift) {
  y[threadIdx.x / 2 * 2 + (threadIdx.x + shift * (threadIdx.x == 5)) % 2] = 1;
}
GPU_CASE(race_on_one_byte) { bytes<<<1, 32>>>(reinterpret_cast<unsigned char*>(fresh(n)), 1); }
