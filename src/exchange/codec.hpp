// Codec: how a block of a lane's gradient becomes words that travel, and what their sum over lanes means.
//
// Words are summed as int32. No part or sum may overflow, which checksums rely on; then the sum has no order,
// and a compressed run has the same bits at any number of ranks. A codec depends on the block, the lane and
// on numbers that all ranks share, never on ranks.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "rondo/core/state.hpp"

namespace rondo {

class Codec {
 public:
  virtual ~Codec() = default;
  /// Words on the wire of one block of kBlock values.
  virtual std::size_t words_per_block() const = 0;
  /// Encodes x = values + residual. Adds codes to `words`, leaves in `values` the part of x that was not
  /// sent, and returns the largest bit pattern of |x|.
  virtual std::uint32_t encode(std::int64_t lane, std::int64_t block, float* values, const float* residual,
                               std::uint32_t* words) = 0;
  /// values = what was sent, summed over lanes.
  virtual void decode(std::int64_t block, const std::uint32_t* words, float* values) const = 0;

  /// After a pass: learns from the largest |x| of any lane in each block, as bit patterns. True if this pass
  /// must be repeated, because nothing was known before.
  virtual bool learn(std::span<const std::uint32_t> maxima) = 0;
  virtual void visit(StateVisitor&) {}
};

/// "int16", "int8" or "topk", for sums of `lanes` lanes of a gradient of `blocks` blocks.
std::unique_ptr<Codec> make_codec(const std::string& name, std::int64_t blocks, std::int64_t lanes);
std::unique_ptr<Codec> make_digit_codec(int digits, std::int64_t blocks, std::int64_t lanes);
std::unique_ptr<Codec> make_top_k_codec(std::int64_t lanes);

}  // namespace rondo
