/// Counter-based random numbers: a value is a pure function of (key, counter), so that nothing depends
/// on which rank draws it or in which order.
///
/// Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
#pragma once

#include <array>
#include <cstdint>

namespace rondo {

/// What a stream of random numbers is for. Part of the key, so that purposes never share numbers.
enum class Purpose : std::uint32_t { init = 1, shuffle = 2, dropout = 3, data = 4, test = 5 };

using PhiloxBlock = std::array<std::uint32_t, 4>;

/// One block of 128 random bits for a counter under a key.
constexpr PhiloxBlock philox(PhiloxBlock counter, std::uint32_t key0, std::uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * counter[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<std::uint32_t>(p1 >> 32) ^ counter[1] ^ key0, static_cast<std::uint32_t>(p1),
               static_cast<std::uint32_t>(p0 >> 32) ^ counter[3] ^ key1, static_cast<std::uint32_t>(p0)};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

/// A stream: (seed, purpose, two stream numbers such as epoch and layer) and an element index.
struct RandomStream {
  std::uint64_t seed = 0;
  Purpose purpose = Purpose::test;
  std::uint32_t major = 0;  ///< epoch or step
  std::uint32_t minor = 0;  ///< layer or tensor

  /// Four words for block `index` of this stream.
  constexpr PhiloxBlock block(std::uint64_t index) const {
    return philox(
        {static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32), major, minor},
        static_cast<std::uint32_t>(seed),
        static_cast<std::uint32_t>(seed >> 32) ^ (static_cast<std::uint32_t>(purpose) * 0x9E3779B1u));
  }
  constexpr std::uint32_t word(std::uint64_t index) const { return block(index / 4)[index % 4]; }

  /// Uniform in [0, 1) with 24 bits: every value is an exact float.
  constexpr float uniform(std::uint64_t index) const {
    return static_cast<float>(word(index) >> 8) * 0x1p-24f;
  }

  /// Standard normal by Box and Muller (1958), from the two words of element `index`.
  double normal(std::uint64_t index) const;
};

}  // namespace rondo
