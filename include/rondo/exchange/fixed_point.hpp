/// Fixed point with one exponent per block: the arithmetic of the exact all-reduce.
///
/// A micro-batch's gradient g becomes q = rint(g * 2^s) and is summed as int32. All exponents follow from
/// numbers that every rank has: the largest |g| of any one micro-batch in each block.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "rondo/core/state.hpp"
#include "rondo/device/tensor.hpp"

namespace rondo {

class FixedPoint {
 public:
  static constexpr int kHeadroomBits = 5;
  static constexpr int kNoHistory = 126;  ///< the finest exponent: whatever is not tiny is flagged and redone

  FixedPoint(std::vector<BlockSpan> tensors, std::int64_t micro_batches);

  std::int64_t blocks() const { return static_cast<std::int64_t>(exponents_.size()); }
  /// 2^s of every block, what gradients are multiplied by.
  const float* scales() const { return scales_.data(); }
  /// 2^-s of every block.
  const std::vector<float>& inverses() const { return inverses_; }

  /// Does some micro-batch exceed its share of int32 in this block? `bits`: of its largest |g|, finite. A
  /// property of micro-batches, never of a rank's sum, so that it is the same for any number of ranks.
  bool overflows(std::int64_t block, std::uint32_t bits) const;
  /// New exponents for exactly the blocks that overflow; true if there are any.
  bool refit_flagged(std::span<const std::uint32_t> max_bits);
  /// Exponents of the next step, from this step's maxima.
  void refit(std::span<const std::uint32_t> max_bits);
  /// Bits that remain for a value, sign excluded.
  int bits_left() const { return bits_left_; }

  void visit(StateVisitor& visitor);

 private:
  void set(std::int64_t block, int exponent);
  int exponent_for(std::uint32_t bits) const;
  std::vector<BlockSpan> tensors_;
  std::int64_t limit_;  // of one micro-batch's |q|
  int bits_left_;
  float too_large_;  // the least |g| * 2^s that does not round to within it
  std::vector<std::int16_t> exponents_;
  std::vector<float> scales_, inverses_;
};

}  // namespace rondo
