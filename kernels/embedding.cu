// Rows of a table by id, and the sums of their gradients.
//
// Shapes: ids [n], whole numbers as floats; table and table_grad [rows, dim]; y and dy [n, dim].
// Forward: y[i] = table[ids[i]]; an id outside gives a row of zeros, and *bad becomes the least of (call,
// bits of the id) of such ids, 32 bits each: one of the first call that had any, the same one in whatever
// order threads run (*bad begins at ~0). Cost in bytes: 8 an element of y.
//
// Backward adds dy row by row in order of i, without atomics: (id, i) pairs are sorted, and whoever finds the
// first of a run of equal ids adds the run's rows one after another. An id in a large share of all places is
// therefore slow: its rows are one chain of additions. Cost in bytes: 8 * dim an id, and the sort's passes.
#include "launch.hpp"
#include "sort.cuh"

namespace rondo::kernels {
namespace {

constexpr std::uint64_t kNoKey = ~std::uint64_t{0};

__device__ bool is_row(float id, std::int64_t rows) { return id >= 0.0f && id < static_cast<float>(rows); }

// One thread a pack of y; dim in packs.
template <int W>
__global__ void gather_kernel(const float* ids, std::int64_t packs, const float* table, std::int64_t rows,
                              std::int64_t dim, float* y, std::uint32_t call, unsigned long long* bad) {
  const std::int64_t t = thread_number();
  if (t >= packs) return;
  const std::int64_t i = t / dim, c = t % dim;
  const float id = ids[i];
  Pack<float, W> values = {};
  if (is_row(id, rows))
    values = load<W>(table, static_cast<std::int64_t>(id) * dim + c);
  else if (c == 0)
    atomicMin(bad, static_cast<unsigned long long>(call) << 32 | __float_as_uint(id));
  store(y, t, values);
}

__global__ void keys_kernel(const float* ids, std::int64_t n, std::int64_t rows, std::uint64_t* keys,
                            std::int64_t all) {
  const std::int64_t i = thread_number();
  if (i >= all) return;
  const bool real_id = i < n && is_row(ids[i], rows);
  keys[i] = real_id ? static_cast<std::uint64_t>(ids[i]) << 32 | static_cast<std::uint64_t>(i) : kNoKey;
}

// The first place at or after `begin` whose key is at least `key`.
__device__ std::int64_t lower_bound(const std::uint64_t* keys, std::int64_t begin, std::int64_t end,
                                    std::uint64_t key) {
  while (begin < end) {
    const std::int64_t middle = (begin + end) / 2;
    if (keys[middle] < key)
      begin = middle + 1;
    else
      end = middle;
  }
  return begin;
}

// One thread a pack of a sorted id's row; only those at the head of a run work.
template <int W>
__global__ void add_runs_kernel(const std::uint64_t* keys, std::int64_t n, const float* dy, std::int64_t dim,
                                float* table_grad) {
  const std::int64_t t = thread_number();
  if (t >= n * dim) return;
  const std::int64_t head = t / dim, c = t % dim;
  if (keys[head] == kNoKey) return;
  const std::uint64_t id = keys[head] >> 32;
  if (head > 0 && keys[head - 1] >> 32 == id) return;
  const std::int64_t end = lower_bound(keys, head, n, (id + 1) << 32);
  const std::int64_t at = static_cast<std::int64_t>(id) * dim + c;
  Pack<float, W> sum = load<W>(table_grad, at);
#pragma unroll 4
  for (std::int64_t k = head; k < end; ++k) {
    const Pack<float, W> d = load<W>(dy, static_cast<std::int64_t>(keys[k] & 0xffffffffu) * dim + c);
    for (int j = 0; j < W; ++j) sum.at[j] += d.at[j];
  }
  store(table_grad, at, sum);
}

}  // namespace

void embedding(const float* ids, std::int64_t n, const float* table, std::int64_t rows, std::int64_t dim,
               float* y, std::uint32_t call, unsigned long long* bad, cudaStream_t stream) {
  if (n * dim == 0) return;
  if (in_packs(dim, table, y))
    gather_kernel<4><<<blocks_of(n * dim / 4), kThreads, 0, stream>>>(ids, n * dim / 4, table, rows, dim / 4,
                                                                      y, call, bad);
  else
    gather_kernel<1>
        <<<blocks_of(n * dim), kThreads, 0, stream>>>(ids, n * dim, table, rows, dim, y, call, bad);
}

std::size_t embedding_keys(std::int64_t n) { return static_cast<std::size_t>(sort_size(n)); }

void embedding_backward(const float* ids, std::int64_t n, const float* dy, std::int64_t rows,
                        std::int64_t dim, float* table_grad, bool accumulate, std::uint64_t* keys,
                        cudaStream_t stream) {
  if (!accumulate && rows * dim > 0)
    cudaMemsetAsync(table_grad, 0, static_cast<std::size_t>(rows * dim) * sizeof(float), stream);
  if (n * dim == 0) return;
  const std::int64_t all = sort_size(n);
  keys_kernel<<<blocks_of(all), kThreads, 0, stream>>>(ids, n, rows, keys, all);
  sort_keys(keys, n, stream);
  if (in_packs(dim, dy, table_grad))
    add_runs_kernel<4><<<blocks_of(n * dim / 4), kThreads, 0, stream>>>(keys, n, dy, dim / 4, table_grad);
  else
    add_runs_kernel<1><<<blocks_of(n * dim), kThreads, 0, stream>>>(keys, n, dy, dim, table_grad);
}

}  // namespace rondo::kernels
