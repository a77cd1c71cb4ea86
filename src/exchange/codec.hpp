// Codec: how lanes' gradients become words that travel, and what their sum over lanes means.
//
// Words are summed as int32. No part or sum may overflow, which checksums rely on; then the sum has no order,
// and a compressed run has the same bits at any number of ranks. A codec depends on the tensor, the lane and
// on numbers that all ranks share, never on ranks.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "rondo/core/state.hpp"
#include "rondo/exchange/exchange.hpp"
#include "rondo/nn/parameters.hpp"

namespace rondo {

class Codec {
 public:
  virtual ~Codec() = default;
  /// Whether a tensor may be encoded part by part.
  virtual bool cuts_tensors() const { return false; }
  /// Words on the wire of all blocks before `end`, where a tensor ends unless they may be cut.
  virtual std::int64_t words_before(std::int64_t end) const = 0;
  /// Encodes x = values + residual of some blocks, whole tensors unless they may be cut. Adds codes to
  /// `words` and leaves in `values` the part of x that was not sent. `maxima` is raised to the bit pattern of
  /// the largest magnitude in each block of what was encoded; it has as many elements as there are blocks.
  /// Arrays are those of all blocks.
  virtual void encode(std::int64_t lane, BlockSpan blocks, float* values, const float* residual,
                      std::uint32_t* words, std::uint32_t* maxima) = 0;
  /// values = what was sent, summed over lanes: of all blocks.
  virtual void decode(const std::uint32_t* words, float* values) = 0;

  /// After decode(): learns from the maxima of all lanes. True if this pass must be repeated, because nothing
  /// was known before.
  virtual bool learn(std::span<const std::uint32_t> maxima) = 0;
  virtual void visit(StateVisitor&) {}
};

/// A codec that looks at each block of kBlock values alone.
class BlockCodec : public Codec {
 public:
  explicit BlockCodec(std::int64_t blocks) : blocks_(blocks) {}
  virtual std::size_t words_per_block() const = 0;
  /// The same for one block, of which these are the arrays; returns the largest bit pattern of |x|.
  virtual std::uint32_t encode_block(std::int64_t lane, std::int64_t block, float* values,
                                     const float* residual, std::uint32_t* words) = 0;
  virtual void decode_block(std::int64_t block, const std::uint32_t* words, float* values) const = 0;

  bool cuts_tensors() const override { return true; }
  std::int64_t words_before(std::int64_t end) const override;
  void encode(std::int64_t lane, BlockSpan blocks, float* values, const float* residual, std::uint32_t* words,
              std::uint32_t* maxima) override;
  void decode(const std::uint32_t* words, float* values) override;

 private:
  std::int64_t blocks_;
};

/// As `exchange.compression` says, for sums of `lanes` lanes of gradients of `store`.
std::unique_ptr<Codec> make_codec(const ExchangeOptions& options, const ParameterStore& store,
                                  std::int64_t lanes);
/// "int16", "int8" or "topk" for a gradient of `blocks` blocks.
std::unique_ptr<BlockCodec> make_block_codec(const std::string& name, std::int64_t blocks,
                                             std::int64_t lanes);
/// `name`: of its state.
std::unique_ptr<BlockCodec> make_digit_codec(int digits, std::int64_t blocks, std::int64_t lanes,
                                             const std::string& name = "exchange/steps");
std::unique_ptr<BlockCodec> make_top_k_codec(std::int64_t blocks, std::int64_t lanes);
std::unique_ptr<Codec> make_low_rank_codec(std::int64_t rank, const ParameterStore& store,
                                           std::int64_t lanes);

}  // namespace rondo
