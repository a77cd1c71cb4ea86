/// LossScale: the factor that keeps gradients of float16 products away from float16's ends.
///
/// The loss is multiplied by a power of two, gradients are divided by it before they are applied: both exact.
/// Gradients that are not finite halve it, and the same step is computed again, so that no data are lost;
/// kGrowth steps in a row without that double it. Micikevicius et al., "Mixed precision training" (ICLR
/// 2018).
#pragma once

#include "rondo/core/state.hpp"

namespace rondo {

class LossScale {
 public:
  static constexpr std::int64_t kGrowth = 2000;              // steps
  static constexpr std::int64_t kFirst = 16, kHighest = 24;  // powers of two; the lowest is 2^0

  /// Not `active`: 1, and stays so.
  explicit LossScale(bool active) : active_(active), exponent_(active ? kFirst : 0) {}

  double factor() const;
  /// After gradients that are not finite: halves it; false where it is 1 already, so that they are not its
  /// fault.
  bool lower();
  /// After a step was applied.
  void passed();
  /// Only where active.
  void visit(StateVisitor& visitor);

 private:
  bool active_;
  std::int64_t exponent_, passed_ = 0;  // 2^exponent; steps since it last changed
};

}  // namespace rondo
