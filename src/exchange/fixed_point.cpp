#include "rondo/exchange/fixed_point.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace rondo {

namespace {

float least_beyond(std::int64_t limit) {
  const auto beyond = [=](float x) { return std::rint(static_cast<double>(x)) > static_cast<double>(limit); };
  auto x = static_cast<float>(limit);
  while (beyond(x)) x = std::nextafter(x, 0.0f);
  while (!beyond(x)) x = std::nextafter(x, INFINITY);
  return x;
}

float power_of_two(int exponent) {  // of a normal number
  return std::bit_cast<float>(static_cast<std::uint32_t>(exponent + 127) << 23);
}

}  // namespace

FixedPoint::FixedPoint(std::vector<BlockSpan> tensors, std::int64_t micro_batches)
    : tensors_(std::move(tensors)),
      limit_(0x7fffffff / micro_batches),
      bits_left_(std::bit_width(static_cast<std::uint64_t>(limit_) + 1) - 1 - kHeadroomBits),
      too_large_(least_beyond(limit_)) {
  const auto blocks = static_cast<std::size_t>(tensors_.empty() ? 0 : tensors_.back().end);
  exponents_.assign(blocks, kNoHistory);
  scales_.assign(blocks, power_of_two(kNoHistory));
  inverses_.assign(blocks, power_of_two(-kNoHistory));
}

void FixedPoint::set(std::int64_t block, int exponent) {
  exponents_[static_cast<std::size_t>(block)] = static_cast<std::int16_t>(exponent);
  scales_[static_cast<std::size_t>(block)] = power_of_two(exponent);
  inverses_[static_cast<std::size_t>(block)] = power_of_two(-exponent);  // exact: within [-126, 126]
}

bool FixedPoint::overflows(std::int64_t block, std::uint32_t bits) const {
  return std::bit_cast<float>(bits) * scales_[static_cast<std::size_t>(block)] >= too_large_;
}

// The finest exponent at which a magnitude of these bits, grown by the headroom, still stays within the
// limit. The magnitude is less than 2 to (bits >> 23) - 126; what is too small for that (zero and subnormal
// numbers) gets the finest there is. Magnitudes stay bits: refit() runs over every block of every step.
int FixedPoint::exponent_for(std::uint32_t bits) const {
  return std::clamp(bits_left_ + 126 - static_cast<int>(bits >> 23), -126, kNoHistory);
}

bool FixedPoint::refit_flagged(std::span<const std::uint32_t> max_bits) {
  bool any = false;
  for (std::int64_t b = 0; b < blocks(); ++b) {
    const std::uint32_t bits = max_bits[static_cast<std::size_t>(b)];
    if (!overflows(b, bits)) continue;
    set(b, exponent_for(bits));
    any = true;
  }
  return any;
}

void FixedPoint::refit(std::span<const std::uint32_t> max_bits) {
  for (const BlockSpan& tensor : tensors_) {
    const auto in_tensor = max_bits.subspan(static_cast<std::size_t>(tensor.begin),
                                            static_cast<std::size_t>(tensor.end - tensor.begin));
    // Finer than 2^-12 of the tensor's own maximum is noise, and only invites redos.
    const auto floor =
        std::bit_cast<std::uint32_t>(std::bit_cast<float>(std::ranges::max(in_tensor)) * 0x1p-12f);
    for (std::int64_t b = tensor.begin; b < tensor.end; ++b)
      set(b, exponent_for(std::max(max_bits[static_cast<std::size_t>(b)], floor)));
  }
}

void FixedPoint::visit(StateVisitor& visitor) {
  const std::int64_t shape[] = {blocks()};
  visitor.array("exchange/exponents", DType::int16, std::as_writable_bytes(std::span(exponents_)), shape);
  for (std::int64_t b = 0; b < blocks(); ++b) set(b, exponents_[static_cast<std::size_t>(b)]);
}

}  // namespace rondo
