/// The order of samples.
#pragma once

#include <cstdint>
#include <span>

namespace rondo {

/// Replaces each index by where a permutation of 0..size-1 takes it: a pure function of (seed, epoch) that
/// needs no table, a Feistel network over the next power of four, keyed by Philox and walked until it falls
/// inside (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002).
void permute(std::span<std::int64_t> indices, std::int64_t size, std::uint64_t seed, std::uint32_t epoch);

}  // namespace rondo
