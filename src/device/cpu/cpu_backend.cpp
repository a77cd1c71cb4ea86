#include "cpu_backend.hpp"

#include <gnu/libc-version.h>
#if defined(__x86_64__)
#include <emmintrin.h>
#endif

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "probe.hpp"
#include "rondo/core/clock.hpp"
#include "rondo/core/error.hpp"
#include "rondo/core/huge_pages.hpp"

namespace rondo {
namespace {

class HostBuffer : public Buffer {
 public:
  explicit HostBuffer(std::size_t bytes) : bytes_(whole_huge_pages((bytes + 63) / 64 * 64)) {
    RONDO_CHECK(posix_memalign(&data_, bytes_ < kHugePage ? 64 : kHugePage, bytes_) == 0,
                "out of memory: {} bytes", bytes_);
    prefer_huge_pages({static_cast<std::byte*>(data_), bytes_});
    if (bytes_ != 0) std::memset(data_, 0, bytes_);
  }
  ~HostBuffer() override { std::free(data_); }
  void* data() override { return data_; }
  std::size_t bytes() const override { return bytes_; }

 private:
  std::size_t bytes_;
  void* data_ = nullptr;
};

}  // namespace

std::string CpuBackend::numerics() {
  return fmt::format("cpu; {}; {}; glibc {}; {} thread(s); probe {}", dnnl_version_text(), dnnl_isa_text(),
                     gnu_get_libc_version(), threads_, probe(*this));
}

std::string CpuBackend::why_not(Precision precision) {
  if (precision == Precision::tf32 || precision == Precision::float16) return "a CPU has no such products";
  return precision == Precision::bfloat16 ? products_.why_not_bfloat16() : "";
}

// Measured, because clocks and units are not told apart by any name; all ranks measure at once, as they
// train.
double CpuBackend::peak_flops(Precision operands) {
  if (operands != Precision::float32) return 0;
  constexpr std::size_t kRounds = 200'000;  // about 2 ms
  double best = 0;
  for (int i = 0; i < 20; ++i) {
    float result = 0;
    const double begin = now_s();
    const double operations = simd_.fused_adds(kRounds, 0.001f, &result);
    if (result > 0) best = std::max(best, operations / (now_s() - begin));
  }
  return best * threads_;
}

std::unique_ptr<Buffer> CpuBackend::allocate(std::size_t bytes) {
  return std::make_unique<HostBuffer>(bytes);
}
void CpuBackend::copy_in(void* device, const void* host, std::size_t bytes) {
  if (bytes != 0) std::memcpy(device, host, bytes);
}
void CpuBackend::copy_out(void* host, const void* device, std::size_t bytes) {
  if (bytes != 0) std::memcpy(host, device, bytes);
}

void CpuBackend::clear(void* device, std::size_t bytes) {
  if (bytes != 0) std::memset(device, 0, bytes);
}
void CpuBackend::copy(void* to, const void* from, std::size_t bytes) {
  if (bytes != 0) std::memcpy(to, from, bytes);
}

// Non-temporal stores take no line into the cache first.
void CpuBackend::publish(void* to, const void* from, std::size_t bytes) {
#if defined(__x86_64__)
  auto* const line = static_cast<__m128i*>(to);
  const auto* const source = static_cast<const __m128i*>(from);
  for (std::size_t i = 0; i < bytes / sizeof(__m128i); ++i)
    _mm_stream_si128(line + i, _mm_load_si128(source + i));
  _mm_sfence();  // they follow no order of their own
#else
  copy(to, from, bytes);
#endif
}

void CpuBackend::matmul(Operand a, bool transpose_a, Operand b, bool transpose_b, Matrix c, bool accumulate,
                        const RowsDone& so_far) {
  const auto between = [&](std::int64_t rows) {
    if (so_far && rows > 0) so_far(rows);
    if (meanwhile_) meanwhile_();
  };
  const bool empty = a.rows * a.cols == 0 || b.rows * b.cols == 0;
  if (!empty) return products_.run(a, transpose_a, b, transpose_b, c, accumulate, between);
  if (!accumulate) std::fill_n(c.data, c.size(), 0.0f);  // oneDNN divides by zero or leaves c as it was
}
void CpuBackend::to_half(std::uint16_t* to, const real* from, std::int64_t n, Precision half) {
  RONDO_CHECK(half == Precision::bfloat16, "a CPU makes no float16");
  simd_.to_bfloat16(to, from, static_cast<std::size_t>(n));
}

void CpuBackend::quantise(std::uint32_t* q, const real* g, std::int64_t blocks, const float* scales,
                          Held held, std::uint32_t* max_bits, std::uint32_t* checksums) {
  for (std::int64_t b = 0; b < blocks; ++b) {
    std::uint32_t* const to = q + b * kBlock;
    const std::uint32_t bits = simd_.quantise(to, g + b * kBlock, held, scales[b], nullptr);
    if (bits > max_bits[b]) max_bits[b] = bits;
    if (checksums != nullptr) checksums[b] = simd_.checksum(to, kBlock);  // still in the cache
  }
}

void CpuBackend::checksum(const std::uint32_t* q, std::int64_t blocks, std::uint32_t* checksums) {
  for (std::int64_t b = 0; b < blocks; ++b) checksums[b] = simd_.checksum(q + b * kBlock, kBlock);
}

void CpuBackend::block_squares(GradientView g, std::int64_t blocks, double* squares) {
  std::vector<float> plain(static_cast<std::size_t>(kBlock));
  for (std::int64_t b = 0; b < blocks; ++b) {
    if (g.fixed != nullptr)
      simd_.dequantise(plain.data(), g.fixed + b * kBlock, kBlock, g.block_scale[b]);
    else
      simd_.scale(plain.data(), g.values + b * kBlock, kBlock, g.block_scale[b]);
    squares[b] = simd_.sum_squares(plain.data(), kBlock);
  }
}

void CpuBackend::adamw(real* w, real* m, real* v, GradientView g, std::int64_t blocks,
                       const float* block_decay, AdamWStep step, std::uint32_t* seen) {
  const float decay = step.weight_decay;
  for (std::int64_t b = 0; b < blocks; ++b) {
    const std::int64_t at = b * kBlock;
    step.weight_decay = decay * block_decay[b];
    const std::uint32_t bits =
        g.fixed != nullptr
            ? simd_.adamw_i32(w + at, m + at, v + at, g.fixed + at, kBlock, g.block_scale[b], step)
            : simd_.adamw_f32(w + at, m + at, v + at, g.values + at, kBlock, g.block_scale[b], step);
    if (seen != nullptr) seen[b] = seen[b] * kSeenFactor + bits;
  }
}

void CpuBackend::sgd(real* w, real* momentum, GradientView g, std::int64_t blocks, const float* block_decay,
                     float rate, float beta, float decay, std::uint32_t* seen) {
  std::vector<float> plain(static_cast<std::size_t>(kBlock));
  for (std::int64_t b = 0; b < blocks; ++b) {
    const std::int64_t at = b * kBlock;
    if (g.fixed != nullptr)
      simd_.dequantise(plain.data(), g.fixed + at, kBlock, g.block_scale[b]);
    else
      simd_.scale(plain.data(), g.values + at, kBlock, g.block_scale[b]);
    const std::uint32_t bits =
        simd_.sgd(w + at, momentum + at, plain.data(), kBlock, rate, beta, decay * block_decay[b]);
    if (seen != nullptr) seen[b] = seen[b] * kSeenFactor + bits;
  }
}

void CpuBackend::average(real* average, const real* w, std::int64_t n, float decay) {
  simd_.average(average, w, static_cast<std::size_t>(n), decay);
}

}  // namespace rondo
