// int16 and int8: a value becomes a small integer times the step of its block, and several integers one word.
//
// Uniform quantisation with a scale per block, as QSGD (Alistarh et al., 2017), but rounded to nearest: what
// rounding and clipping leave out is not lost but added to the lane's next gradient (Seide et al., "1-bit
// stochastic gradient descent", 2014; Karimireddy et al., "Error feedback fixes SignSGD", 2019).
//
// All lanes use one step a block, from the largest value that any lane had there a step ago, so their codes
// can be summed as they are. A word is a number with k balanced digits in base B = 2^floor(32 / k). A lane's
// digits lie within +-m with lanes * m <= B / 2 - 1: sums of digits never carry, and |word| <= 2^31 - 1.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <vector>

#include "codec.hpp"
#include "rondo/core/error.hpp"
#include "rondo/device/simd.hpp"
#include "rondo/device/tensor.hpp"

namespace rondo {
namespace {

using Word = std::uint32_t;
using Int = std::int32_t;

template <int k>
class Digits : public BlockCodec {
  static constexpr int kBits = 32 / k;
  static constexpr std::size_t kWords = (kBlock + k - 1) / k;  // digit d of word w is value d * kWords + w

 public:
  static constexpr std::int64_t limit(std::int64_t lanes) { return ((1 << (kBits - 1)) - 1) / lanes; }

  Digits(std::int64_t blocks, std::int64_t lanes, const std::string& name)
      : BlockCodec(blocks),
        name_(name),
        limit_(static_cast<float>(limit(lanes))),
        steps_(static_cast<std::size_t>(blocks)) {}

  std::size_t words_per_block() const override { return kWords; }

  std::uint32_t encode_block(std::int64_t, std::int64_t block, float* values, const float* residual,
                             Word* words) override {
    std::array<Int, kWords * k> codes{};
    const std::uint32_t largest = simd().encode(codes.data(), values, residual, kBlock,
                                                steps_[static_cast<std::size_t>(block)], limit_);
    for (std::size_t w = 0; w < kWords; ++w) {
      Word word = 0;
      for (int d = k; d-- > 0;)
        word = (word << kBits) + static_cast<Word>(codes[static_cast<std::size_t>(d) * kWords + w]);
      words[w] += word;
    }
    return largest;
  }

  void decode_block(std::int64_t block, const Word* words, float* values) const override {
    const float step = steps_[static_cast<std::size_t>(block)];
    std::array<Word, kWords> rest;
    std::copy_n(words, kWords, rest.begin());
    for (std::size_t d = 0; d < k; ++d) {
      const std::size_t n = std::min(kWords, static_cast<std::size_t>(kBlock) - d * kWords);
      for (std::size_t w = 0; w < n; ++w) {
        const Int digit = static_cast<Int>(rest[w] << (32 - kBits)) >> (32 - kBits);
        values[d * kWords + w] = static_cast<float>(digit) * step;
        rest[w] = static_cast<Word>(static_cast<Int>(rest[w] - static_cast<Word>(digit)) >> kBits);
      }
    }
  }

  bool learn(std::span<const std::uint32_t> maxima) override {
    const bool first = std::ranges::all_of(steps_, [](float step) { return step == 0; });
    for (std::size_t b = 0; b < steps_.size(); ++b) steps_[b] = step_for(std::bit_cast<float>(maxima[b]));
    return first && std::ranges::any_of(steps_, [](float step) { return step != 0; });
  }

  void visit(StateVisitor& visitor) override {
    const std::int64_t shape[] = {static_cast<std::int64_t>(steps_.size())};
    visitor.floats(name_, steps_, shape);
  }

 private:
  // The step at which `largest` is the last code, rounded up to eight bits: products of codes and steps are
  // then exact, and so are remainders. Next to nothing has no step: it stays in the residual until it has
  // grown.
  float step_for(float largest) const {
    if (!(largest > 0x1p-90f)) return 0;
    const float step = largest / limit_;
    const int exponent = std::ilogb(step) - 7;
    return std::ldexp(std::ceil(std::ldexp(step, -exponent)), exponent);
  }

  std::string name_;
  float limit_;               // of a lane's digits
  std::vector<float> steps_;  // of each block; 0: send nothing
};

template <int k>
std::unique_ptr<BlockCodec> make(std::int64_t blocks, std::int64_t lanes, const std::string& name) {
  return std::make_unique<Digits<k>>(blocks, lanes, name);
}

}  // namespace

// With many lanes three digits a word, or two, so that a lane keeps at least +-7.
std::unique_ptr<BlockCodec> make_digit_codec(int digits, std::int64_t blocks, std::int64_t lanes,
                                             const std::string& name) {
  constexpr std::int64_t kLeast = 7;
  if (digits == 4 && Digits<4>::limit(lanes) >= kLeast) return make<4>(blocks, lanes, name);
  if (digits >= 3 && Digits<3>::limit(lanes) >= kLeast) return make<3>(blocks, lanes, name);
  if (Digits<2>::limit(lanes) < kLeast)
    input_error("exchange.lanes = {} are too many for sums of int16; use at most {}", lanes,
                Digits<2>::limit(1) / kLeast);
  return make<2>(blocks, lanes, name);
}

}  // namespace rondo
