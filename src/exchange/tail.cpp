#include "tail.hpp"

#include <algorithm>
#include <bit>

namespace rondo {

void Tail::clear() {
  std::ranges::fill(maxima_, 0u);
  std::ranges::fill(sums_, 0u);
}

void Tail::combine(Transport& transport, std::span<const double> losses, std::uint32_t request) {
  for (std::size_t i = 0; i < losses.size(); ++i) {
    const auto bits = std::bit_cast<std::uint64_t>(losses[i]);
    sums_[own_sums_ + 2 * i] = static_cast<std::uint32_t>(bits);
    sums_[own_sums_ + 2 * i + 1] = static_cast<std::uint32_t>(bits >> 32);
  }
  maxima_.back() = request;
  transport.combine(sums_, maxima_);
}

std::vector<double> Tail::losses() const {
  std::vector<double> losses((sums_.size() - own_sums_) / 2);
  for (std::size_t i = 0; i < losses.size(); ++i)
    losses[i] =
        std::bit_cast<double>(sums_[own_sums_ + 2 * i] | (std::uint64_t{sums_[own_sums_ + 2 * i + 1]} << 32));
  return losses;
}

}  // namespace rondo
