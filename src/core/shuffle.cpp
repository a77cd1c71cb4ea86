#include "rondo/core/shuffle.hpp"

#include <bit>
#include <numeric>
#include <vector>

#include "rondo/core/philox.hpp"

namespace rondo {

void permute(std::span<std::int64_t> indices, std::int64_t size, std::uint64_t seed, std::uint32_t epoch) {
  if (size < 2) return;
  const int half_bits = (std::bit_width(static_cast<std::uint64_t>(size - 1)) + 1) / 2;
  const std::uint64_t mask = (std::uint64_t{1} << half_bits) - 1;
  const PhiloxBlock keys = RandomStream{seed, Purpose::shuffle, epoch, 0}.block(0);
  const auto walk = [&](std::int64_t index) {
    std::uint64_t left = static_cast<std::uint64_t>(index) >> half_bits;
    std::uint64_t right = static_cast<std::uint64_t>(index) & mask;
    for (const std::uint32_t key : keys) {
      // The mixer of Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
      std::uint64_t z = (right + key) * 0x9E3779B97F4A7C15u;
      z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
      z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
      const std::uint64_t mixed = left ^ ((z ^ (z >> 31)) & mask);
      left = right;
      right = mixed;
    }
    return static_cast<std::int64_t>((left << half_bits) | right);
  };
  // One step of all who are outside, then the next: a loop for each would be left at moments that no
  // processor can predict.
  std::vector<std::size_t> outside(indices.size());
  std::iota(outside.begin(), outside.end(), std::size_t{0});
  while (!outside.empty()) {
    std::size_t kept = 0;
    for (const std::size_t i : outside) {
      indices[i] = walk(indices[i]);
      outside[kept] = i;
      kept += indices[i] >= size;
    }
    outside.resize(kept);
  }
}

}  // namespace rondo
