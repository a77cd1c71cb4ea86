#include "rondo/exchange/fixed_point.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace rondo {

FixedPoint::FixedPoint(std::vector<BlockSpan> tensors, std::int64_t micro_batches)
    : tensors_(std::move(tensors)), limit_(0x7fffffff / micro_batches) {
  const auto blocks = static_cast<std::size_t>(tensors_.empty() ? 0 : tensors_.back().end);
  exponents_.assign(blocks, kNoHistory);
  scales_.assign(blocks, std::ldexp(1.0f, kNoHistory));
}

void FixedPoint::set(std::int64_t block, int exponent) {
  if (exponents_[static_cast<std::size_t>(block)] == exponent)
    return;  // most do not change from step to step
  exponents_[static_cast<std::size_t>(block)] = static_cast<std::int16_t>(exponent);
  scales_[static_cast<std::size_t>(block)] = std::ldexp(1.0f, exponent);
}

float FixedPoint::inverse(std::int64_t block) const {
  return 1.0f / scales_[static_cast<std::size_t>(block)];  // exact: a power of two within [-126, 126]
}

bool FixedPoint::overflows(std::int64_t block, std::uint32_t bits) const {
  const float scaled = std::bit_cast<float>(bits) * scales_[static_cast<std::size_t>(block)];
  return std::rint(static_cast<double>(scaled)) > static_cast<double>(limit_);
}

int FixedPoint::bits_left() const {
  return std::bit_width(static_cast<std::uint64_t>(limit_) + 1) - 1 - kHeadroomBits;
}

// The finest exponent at which `largest`, grown by the headroom, still stays within the limit.
int FixedPoint::exponent_for(float largest) const {
  if (largest == 0) return kNoHistory;
  return std::clamp(bits_left() - (std::ilogb(largest) + 1), -126, 126);
}

bool FixedPoint::refit_flagged(std::span<const std::uint32_t> max_bits) {
  bool any = false;
  for (std::int64_t b = 0; b < blocks(); ++b) {
    const std::uint32_t bits = max_bits[static_cast<std::size_t>(b)];
    if (!overflows(b, bits)) continue;
    set(b, exponent_for(std::bit_cast<float>(bits)));
    any = true;
  }
  return any;
}

void FixedPoint::refit(std::span<const std::uint32_t> max_bits) {
  for (const BlockSpan& tensor : tensors_) {
    const auto in_tensor = max_bits.subspan(static_cast<std::size_t>(tensor.begin),
                                            static_cast<std::size_t>(tensor.end - tensor.begin));
    // Finer than 2^-12 of the tensor's own maximum is noise, and only invites redos.
    const float floor = std::bit_cast<float>(*std::ranges::max_element(in_tensor)) * 0x1p-12f;
    for (std::int64_t b = tensor.begin; b < tensor.end; ++b)
      set(b, exponent_for(std::max(std::bit_cast<float>(max_bits[static_cast<std::size_t>(b)]), floor)));
  }
}

void FixedPoint::visit(StateVisitor& visitor) {
  const std::int64_t shape[] = {blocks()};
  visitor.array("exchange/exponents", DType::int16, std::as_writable_bytes(std::span(exponents_)), shape);
  for (std::size_t b = 0; b < scales_.size(); ++b) scales_[b] = std::ldexp(1.0f, exponents_[b]);
}

}  // namespace rondo
