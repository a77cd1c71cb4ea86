#include "rondo/core/philox.hpp"

#include <bit>
#include <cmath>
#include <numbers>

namespace rondo {

double RandomStream::normal(std::uint64_t index) const {
  const PhiloxBlock bits = block(index);
  const double u1 = (static_cast<double>(bits[0]) + 1.0) * 0x1p-32;  // in (0, 1]: the logarithm is finite
  const double u2 = static_cast<double>(bits[1]) * 0x1p-32;
  return std::sqrt(-2.0 * std::log(u1)) * std::cos(2.0 * std::numbers::pi * u2);
}

std::uint64_t permuted(std::uint64_t index, std::uint64_t size, std::uint64_t seed, std::uint32_t epoch) {
  if (size < 2) return index;
  const int half_bits = (std::bit_width(size - 1) + 1) / 2;
  const std::uint64_t mask = (std::uint64_t{1} << half_bits) - 1;
  do {
    std::uint64_t left = index >> half_bits, right = index & mask;
    for (std::uint32_t round = 0; round < 4; ++round) {
      const RandomStream f{seed, Purpose::shuffle, epoch, round};
      const std::uint64_t mixed = left ^ (f.block(right)[0] & mask);
      left = right;
      right = mixed;
    }
    index = (left << half_bits) | right;
  } while (index >= size);
  return index;
}

}  // namespace rondo
