/// Views of device memory. Nobody but a backend may look behind the pointers: they may be on a GPU.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rondo {

/// The number type of weights, activations and gradients: float. The tests build `nn` a second time with
/// double, to check its gradients by central differences.
#ifndef RONDO_REAL
#define RONDO_REAL float
#endif
using real = RONDO_REAL;

/// Exponents of the exact all-reduce, buckets and slices are cut at blocks of this many values.
inline constexpr std::int64_t kBlock = 1024;
inline std::int64_t blocks_for(std::int64_t values) { return (values + kBlock - 1) / kBlock; }

/// What is in memory of 32-bit words before they are written.
enum class Held { nothing, values, integers };  // values: float32

/// The checksum of a block of int32 is the sum of (2i + 1) * q[i], i from 0, in exact integers, modulo this
/// prime. The checksum of a sum is then the sum of checksums, as long as nothing overflows, and 4096 of them
/// add up in 32 bits. Whatever changes one or two values of a block changes it (2i + 1 is smaller than the
/// prime, and so is 2(i + j + 1)); what changes more goes unseen once in a million times. Sums mod 2^32 will
/// not do: they do not see two top bits that flip.
inline constexpr std::uint32_t kChecksumPrime = 1048573;  // 2^20 - 3

/// The seal of a block of 32-bit words is the sum mod 2^32 of seal_weight(2i) times the low half of word i
/// and seal_weight(2i + 1) times its high half, both as signed numbers of 16 bits. Whatever changes one or
/// two bits of a block changes it, because weights are odd, below 2^15 and all different; what changes more
/// at random goes unseen about once in 2^32 times. It costs two instructions a vector, but does not follow
/// from seals of terms: it guards what its reader finds as it was written.
constexpr std::uint32_t seal_weight(std::uint32_t half) { return half * 10007 % 16384 * 2 + 1; }

/// How an update remembers what it found: seen[block] = seen[block] * this + the sum of the bits of all
/// values that it is about to replace, mod 2^32. A bit that flips between two updates shows there for ever,
/// even where rounding makes the value itself whole again.
inline constexpr std::uint32_t kSeenFactor = 0x9e3779b1;

/// Blocks [begin, end) of an arena.
struct BlockSpan {
  std::int64_t begin = 0, end = 0;
  std::int64_t count() const { return end - begin; }
};

/// A row-major [rows, cols] view. Sequences have batch * time rows. Owns nothing.
struct Matrix {
  real* data = nullptr;
  std::int64_t rows = 0, cols = 0;
  std::int64_t size() const { return rows * cols; }
};

/// What operands of a matrix product are rounded to; their products are summed in float32. tf32 (10 bits of
/// fraction, float32's range) is stored as float32 and rounded on the way; the last two take 2 bytes.
enum class Precision { float32, tf32, bfloat16, float16 };
inline bool is_half(Precision p) { return p == Precision::bfloat16 || p == Precision::float16; }

/// An operand of a matrix product: of float32 numbers, or of halves made by Backend::to_half. Both operands
/// of a product have the same precision.
struct Operand {
  const void* data = nullptr;
  std::int64_t rows = 0, cols = 0;
  Precision precision = Precision::float32;
  Operand() = default;
  Operand(const Matrix& m, Precision p = Precision::float32)  // NOLINT: a Matrix is an operand
      : data(m.data), rows(m.rows), cols(m.cols), precision(p) {}
  Operand(const std::uint16_t* halves, std::int64_t r, std::int64_t c, Precision p)
      : data(halves), rows(r), cols(c), precision(p) {}
};

}  // namespace rondo
