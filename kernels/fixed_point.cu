// The exact all-reduce's conversion, and the sums of squares that clipping needs.
//
// Shapes: q and g are arenas of blocks * kBlock values (arena.cuh); scales, max_bits, checksums and squares
// one number a block. quantise: q = rint(g * scale), or is added to, or its values are converted, too;
// max_bits[block] grows to the largest bit pattern of those converted, and, unless that is null,
// checksums[block] becomes q's (kChecksumPrime in tensor.hpp); checksum: the latter alone. All are the CPU's
// integers. squares[block]: the sum in double precision of (g * block_scale)^2: each thread its four values,
// then reduce.cuh's order. Cost in bytes a value: quantise 8, 12 where q is read; checksum and squares 4.
#include "arena.cuh"
#include "launch.hpp"
#include "reduce.cuh"

namespace rondo::kernels {
namespace {

constexpr int kWarps = kThreads / 32;

// rint(x); -2^31 for what does not fit, above as below and for a NaN (it is flagged anyway).
__device__ std::uint32_t fixed_of(float x) {
  return x < 2147483648.0f ? static_cast<std::uint32_t>(__float2int_rn(x)) : 0x80000000u;
}

// A thread's part of the checksum of its block, in [0, 2^20 + 2^10). As 2^20 = 3 modulo the prime, what is
// above 20 bits comes back three times.
__device__ std::uint32_t weighted(const Pack<std::uint32_t, 4>& q) {
  std::int64_t sum = std::int64_t{kChecksumPrime} << 25;  // so that it is not negative
  for (int j = 0; j < 4; ++j)
    sum += static_cast<std::int64_t>(static_cast<std::int32_t>(q.at[j])) *
           (2 * (4 * static_cast<std::int32_t>(threadIdx.x) + j) + 1);
  constexpr std::uint32_t low = (1u << 20) - 1;
  const auto folded =
      (static_cast<std::uint32_t>(sum) & low) + 3 * static_cast<std::uint32_t>(sum >> 20);  // below 2^28
  return (folded & low) + 3 * (folded >> 20);
}

// The checksum of the block; every thread gets it.
__device__ std::uint32_t block_checksum(const Pack<std::uint32_t, 4>& q, std::uint32_t* shared, int thread) {
  return group_sum<kWarps>(weighted(q), shared, thread) % kChecksumPrime;
}

__global__ void checksum_kernel(const std::uint32_t* q, std::uint32_t* checksums) {
  __shared__ std::uint32_t shared[kWarps];
  const int thread = static_cast<int>(threadIdx.x);
  const std::uint32_t sum = block_checksum(load<4>(q, arena_pack()), shared, thread);
  if (thread == 0) checksums[blockIdx.x] = sum;
}

__global__ void quantise_kernel(std::uint32_t* q, const float* g, const float* scales, Held held,
                                std::uint32_t* max_bits, std::uint32_t* checksums) {
  __shared__ std::uint32_t shared[kWarps];
  const std::int64_t i = arena_pack();
  const float scale = scales[blockIdx.x];
  const Pack<float, 4> value = load<4>(g, i);
  Pack<std::uint32_t, 4> sum = {};
  if (held != Held::nothing) sum = load<4>(q, i);
  std::uint32_t largest = 0;
  for (int j = 0; j < 4; ++j) {
    if (held == Held::values) {
      largest = max(largest, sum.at[j] & 0x7fffffffu);
      sum.at[j] = fixed_of(__uint_as_float(sum.at[j]) * scale);
    }
    largest = max(largest, __float_as_uint(value.at[j]) & 0x7fffffffu);
    sum.at[j] += fixed_of(value.at[j] * scale);
  }
  store(q, i, sum);
  const int thread = static_cast<int>(threadIdx.x);
  if (checksums != nullptr) {
    const std::uint32_t checksum = block_checksum(sum, shared, thread);
    if (thread == 0) checksums[blockIdx.x] = checksum;
  }
  largest = block_max<kWarps>(largest, shared, thread);
  if (thread == 0) max_bits[blockIdx.x] = max(max_bits[blockIdx.x], largest);
}

template <class T>
__global__ void squares_kernel(const T* gradient, const float* block_scale, double* squares) {
  __shared__ double shared[kWarps];
  const float scale = block_scale[blockIdx.x];
  const Pack<T, 4> source = load<4>(gradient, arena_pack());
  double sum = 0;
  for (int j = 0; j < 4; ++j) {
    const double g = static_cast<double>(scaled(source.at[j], scale));
    sum += g * g;
  }
  const int thread = static_cast<int>(threadIdx.x);
  sum = group_sum<kWarps>(sum, shared, thread);
  if (thread == 0) squares[blockIdx.x] = sum;
}

}  // namespace

void quantise(std::uint32_t* q, const float* g, std::int64_t blocks, const float* scales, Held held,
              std::uint32_t* max_bits, std::uint32_t* checksums, cudaStream_t stream) {
  if (blocks == 0) return;
  quantise_kernel<<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(q, g, scales, held, max_bits,
                                                                          checksums);
}

void checksum(const std::uint32_t* q, std::int64_t blocks, std::uint32_t* checksums, cudaStream_t stream) {
  if (blocks == 0) return;
  checksum_kernel<<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(q, checksums);
}

void block_squares(const float* values, const std::uint32_t* fixed, const float* block_scale,
                   std::int64_t blocks, double* squares, cudaStream_t stream) {
  if (blocks == 0) return;
  with_gradient(values, fixed, [&](const auto* gradient) {
    squares_kernel<<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(gradient, block_scale, squares);
  });
}

}  // namespace rondo::kernels
