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

// Exponents of magnitudes are read off their bits: these loops run over every block of every step.
int log2_of(float largest) {
  const auto exponent = static_cast<int>(std::bit_cast<std::uint32_t>(largest) >> 23);
  return exponent != 0 ? exponent - 127 : std::ilogb(largest);
}

}  // namespace

FixedPoint::FixedPoint(std::vector<BlockSpan> tensors, std::int64_t micro_batches)
    : tensors_(std::move(tensors)), limit_(0x7fffffff / micro_batches), too_large_(least_beyond(limit_)) {
  const auto blocks = static_cast<std::size_t>(tensors_.empty() ? 0 : tensors_.back().end);
  exponents_.assign(blocks, kNoHistory);
  scales_.assign(blocks, std::ldexp(1.0f, kNoHistory));
  inverses_.assign(blocks, std::ldexp(1.0f, -kNoHistory));
}

void FixedPoint::set(std::int64_t block, int exponent) {
  if (exponents_[static_cast<std::size_t>(block)] == exponent)
    return;  // most do not change from step to step
  exponents_[static_cast<std::size_t>(block)] = static_cast<std::int16_t>(exponent);
  scales_[static_cast<std::size_t>(block)] = std::ldexp(1.0f, exponent);
  inverses_[static_cast<std::size_t>(block)] = std::ldexp(1.0f, -exponent);  // exact: within [-126, 126]
}

bool FixedPoint::overflows(std::int64_t block, std::uint32_t bits) const {
  return std::bit_cast<float>(bits) * scales_[static_cast<std::size_t>(block)] >= too_large_;
}

int FixedPoint::bits_left() const {
  return std::bit_width(static_cast<std::uint64_t>(limit_) + 1) - 1 - kHeadroomBits;
}

// The finest exponent at which `largest`, grown by the headroom, still stays within the limit.
int FixedPoint::exponent_for(float largest) const {
  if (largest == 0) return kNoHistory;
  return std::clamp(bits_left() - (log2_of(largest) + 1), -126, 126);
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
  for (std::size_t b = 0; b < scales_.size(); ++b) {
    scales_[b] = std::ldexp(1.0f, exponents_[b]);
    inverses_[b] = std::ldexp(1.0f, -exponents_[b]);
  }
}

}  // namespace rondo
