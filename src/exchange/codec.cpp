#include "codec.hpp"

#include <algorithm>

namespace rondo {

std::int64_t BlockCodec::words_before(std::int64_t end) const {
  return end * static_cast<std::int64_t>(words_per_block());
}

void BlockCodec::encode(std::int64_t lane, BlockSpan blocks, float* values, const float* residual,
                        std::uint32_t* words, std::uint32_t* maxima) {
  for (std::int64_t b = blocks.begin; b < blocks.end; ++b)
    maxima[b] = std::max(maxima[b], encode_block(lane, b, values + b * kBlock, residual + b * kBlock,
                                                 words + words_before(b)));
}

void BlockCodec::decode(const std::uint32_t* words, float* values) {
  for (std::int64_t b = 0; b < blocks_; ++b) decode_block(b, words + words_before(b), values + b * kBlock);
}

std::unique_ptr<BlockCodec> make_block_codec(const std::string& name, std::int64_t blocks,
                                             std::int64_t lanes) {
  if (name == "topk") return make_top_k_codec(blocks, lanes);
  return make_digit_codec(name == "int8" ? 4 : 2, blocks, lanes);
}

std::unique_ptr<Codec> make_codec(const ExchangeOptions& options, const ParameterStore& store,
                                  std::int64_t lanes) {
  if (options.compression == "powersgd") return make_low_rank_codec(options.powersgd_rank, store, lanes);
  return make_block_codec(options.compression, store.blocks(), lanes);
}

std::int64_t words_per_block(const std::string& compression, std::int64_t lanes) {
  if (compression == "none") return kBlock;
  return static_cast<std::int64_t>(make_block_codec(compression, 1, lanes)->words_per_block());
}

}  // namespace rondo
