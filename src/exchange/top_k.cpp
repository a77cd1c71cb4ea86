// topk: of each block only its 16 values of greatest magnitude are sent, one word each; the rest is added to
// the lane's next gradient. Aji and Heafield, "Sparse communication for distributed gradient descent" (2017);
// Lin et al., "Deep gradient compression" (2018), without its momentum correction, which the optimizer's
// would need.
//
// By blocks rather than over the whole gradient, so that buckets leave during backward and have a fixed size.
// Each lane has its own words of a block, and the others' are zero there: the sum gathers them. They are
// decoded in the order of lanes.
#include <algorithm>
#include <array>
#include <bit>

#include "codec.hpp"
#include "rondo/device/simd.hpp"
#include "rondo/device/tensor.hpp"

namespace rondo {
namespace {

constexpr std::size_t kKept = 16;  // of kBlock values: 1.6 %
constexpr int kIndexBits = 10;
constexpr std::uint32_t kIndex = (1u << kIndexBits) - 1;
static_assert(kBlock == 1 << kIndexBits);

class TopK : public BlockCodec {
 public:
  TopK(std::int64_t blocks, std::int64_t lanes)
      : BlockCodec(blocks), lanes_(static_cast<std::size_t>(lanes)) {}

  std::size_t words_per_block() const override { return kKept * lanes_; }

  std::uint32_t encode_block(std::int64_t lane, std::int64_t, float* values, const float* residual,
                             std::uint32_t* words) override {
    simd().add_f32(values, residual, kBlock);
    // Magnitude first; of equal ones the later. The lowest ten bits of a value give way to its place.
    std::array<std::uint32_t, kBlock> keys;
    for (std::uint32_t i = 0; i < kBlock; ++i)
      keys[i] = (std::bit_cast<std::uint32_t>(values[i]) & 0x7fffffffu & ~kIndex) | i;
    std::nth_element(keys.begin(), keys.begin() + kKept, keys.end(), std::greater<>());
    const std::uint32_t largest = simd().max_bits(values, kBlock);
    for (std::size_t j = 0; j < kKept; ++j) {
      float& value = values[keys[j] & kIndex];
      const std::uint32_t sent = std::bit_cast<std::uint32_t>(value) & ~kIndex;
      words[static_cast<std::size_t>(lane) * kKept + j] = sent | (keys[j] & kIndex);
      value -= std::bit_cast<float>(sent);
    }
    return largest;
  }

  void decode_block(std::int64_t, const std::uint32_t* words, float* values) const override {
    std::fill_n(values, kBlock, 0.0f);
    for (std::size_t i = 0; i < words_per_block(); ++i)
      values[words[i] & kIndex] += std::bit_cast<float>(words[i] & ~kIndex);
  }

  bool learn(std::span<const std::uint32_t>) override { return false; }

 private:
  std::size_t lanes_;
};

}  // namespace

std::unique_ptr<BlockCodec> make_top_k_codec(std::int64_t blocks, std::int64_t lanes) {
  return std::make_unique<TopK>(blocks, lanes);
}

}  // namespace rondo
