#include "rondo/optim/loss_scale.hpp"

#include <cmath>

namespace rondo {

double LossScale::factor() const { return std::ldexp(1.0, static_cast<int>(exponent_)); }

bool LossScale::lower() {
  passed_ = 0;
  if (exponent_ == 0) return false;
  --exponent_;
  return true;
}

void LossScale::passed() {
  if (!active_ || ++passed_ < kGrowth || exponent_ == kHighest) return;
  ++exponent_;
  passed_ = 0;
}

void LossScale::visit(StateVisitor& visitor) {
  if (!active_) return;
  visitor.scalar("train/loss_scale_exponent", exponent_);
  visitor.scalar("train/loss_scale_steps", passed_);
}

}  // namespace rondo
