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
  const PhiloxBlock keys = RandomStream{seed, Purpose::shuffle, epoch, 0}.block(0);
  do {
    std::uint64_t left = index >> half_bits, right = index & mask;
    for (const std::uint32_t key : keys) {
      // The mixer of Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
      std::uint64_t z = (right + key) * 0x9E3779B97F4A7C15u;
      z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
      z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
      const std::uint64_t mixed = left ^ ((z ^ (z >> 31)) & mask);
      left = right;
      right = mixed;
    }
    index = (left << half_bits) | right;
  } while (index >= size);
  return index;
}

}  // namespace rondo
