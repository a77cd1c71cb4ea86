// Codecs by themselves: sums of codes that cannot overflow, and what is not sent is what remains.
#include "../src/exchange/codec.hpp"

#include <bit>
#include <cmath>

#include "catch.hpp"
#include "rondo/core/philox.hpp"
#include "rondo/device/tensor.hpp"

using namespace rondo;

namespace {

using Block = std::vector<float>;
constexpr auto kValues = static_cast<std::size_t>(kBlock);

/// Lanes that hand one block to a codec, and what they have not sent so far.
struct Lanes {
  std::unique_ptr<Codec> codec;
  std::vector<Block> residuals;
  std::vector<std::uint32_t> words;
  std::vector<double> given;  ///< by all lanes in the last pass, what they had not sent before included
  std::vector<std::int64_t> exact;

  Lanes(const std::string& name, std::int64_t lanes)
      : codec(make_codec(name, 1, lanes)),
        residuals(static_cast<std::size_t>(lanes), Block(kValues)),
        words(codec->words_per_block()) {}

  /// One pass; `gradient(lane, place)`. `keep`: what is not sent is added to the next gradient.
  template <class Gradient>
  std::uint32_t pass(Gradient gradient, bool keep) {
    words.assign(words.size(), 0);
    exact.assign(words.size(), 0);
    given.assign(kValues, 0);
    std::uint32_t largest = 0;
    for (std::size_t lane = 0; lane < residuals.size(); ++lane) {
      Block values(kValues);
      std::vector<std::uint32_t> mine(words.size());
      for (std::size_t i = 0; i < kValues; ++i) {
        values[i] = gradient(lane, i);
        given[i] += static_cast<double>(values[i] + residuals[lane][i]);
      }
      largest = std::max(largest, codec->encode(static_cast<std::int64_t>(lane), 0, values.data(),
                                                residuals[lane].data(), mine.data()));
      for (std::size_t w = 0; w < words.size(); ++w) {
        words[w] += mine[w];
        exact[w] += static_cast<std::int32_t>(mine[w]);
      }
      if (keep) residuals[lane] = values;
    }
    return largest;
  }
  Block sum() const {
    Block values(kValues, 7);
    codec->decode(0, words.data(), values.data());
    return values;
  }
  bool overflowed() const {
    for (std::size_t w = 0; w < words.size(); ++w)
      if (exact[w] != static_cast<std::int32_t>(words[w])) return true;
    return false;
  }
};

float random_gradient(std::uint32_t step, std::size_t lane, std::size_t i) {
  const RandomStream stream{3, Purpose::test, step, static_cast<std::uint32_t>(lane)};
  return std::ldexp(stream.uniform(i) - 0.5f, static_cast<int>(i % 9));
}

}  // namespace

TEST_CASE("sums of codes stay within their digits and words, whatever lanes send") {
  for (const std::string name : {"int8", "int16", "topk"})
    for (const std::int64_t lanes : {1, 2, 3, 4, 7, 8, 16, 18, 19, 64, 73, 74, 500}) {
      CAPTURE(name, lanes);
      Lanes run(name, lanes);
      run.codec->learn(std::vector{run.pass([](auto, auto) { return 1.0f; }, false)});
      // All lanes at one end, far beyond it, and digits of one word at opposite ends.
      for (const float size : {1.0f, -1.0f, 1e9f, -1e9f}) {
        run.pass([&](auto, auto) { return size; }, false);
        CHECK(!run.overflowed());
        const Block sum = run.sum();
        const float most = name == "topk" ? 0 : static_cast<float>(lanes) * std::copysign(1.0f, size);
        if (name != "topk")
          for (const float x : sum) REQUIRE(std::fabs(x - most) < 0.01f * std::fabs(most));
        run.pass([&](auto, std::size_t i) { return i / 256 % 2 == 0 ? size : -size; }, false);
        CHECK(!run.overflowed());
        const Block mixed = run.sum();
        if (name != "topk")
          for (std::size_t i = 0; i < mixed.size(); ++i)
            REQUIRE(mixed[i] == (i / 256 % 2 == 0 ? sum[i] : -sum[i]));
      }
    }
}

TEST_CASE("what lanes gave is what was summed and what remains, to the last bit") {
  for (const std::string name : {"int8", "int16", "topk"})
    for (const std::int64_t lanes : {1, 4, 16, 40}) {
      CAPTURE(name, lanes);
      Lanes run(name, lanes);
      std::vector<double> all(kValues), sent(kValues);
      constexpr std::uint32_t steps = 50;
      for (std::uint32_t step = 0; step < steps; ++step) {
        const bool first = step == 0 && name != "topk";
        const auto gradient = [&](std::size_t lane, std::size_t i) {
          return random_gradient(first ? 1 : step, lane, i);
        };
        const std::uint32_t largest = run.pass(gradient, !first);
        const Block sum = run.sum();
        CHECK(run.codec->learn(std::vector{largest}) == first);  // nothing was known
        if (first) continue;
        for (std::size_t i = 0; i < kValues; ++i) {
          double remains = 0;
          for (const Block& residual : run.residuals) remains += static_cast<double>(residual[i]);
          const double rest = run.given[i] - (static_cast<double>(sum[i]) + remains);
          if (name == "topk")  // decoded in float
            REQUIRE(std::fabs(rest) < 1e-4);
          else
            REQUIRE(rest == 0);
          sent[i] += static_cast<double>(sum[i]);
          for (std::size_t lane = 0; lane < run.residuals.size(); ++lane)
            all[i] += static_cast<double>(gradient(lane, i));
        }
      }
      // Nothing is lost for good: what was sent in all lags behind by what a few steps give.
      for (std::size_t i = 0; i < kValues; ++i)
        REQUIRE(std::fabs(sent[i] - all[i]) <
                (name == "topk" ? 50.0 : 1.1) * 256 * static_cast<double>(lanes));
    }
}

TEST_CASE("topk sends the values of greatest magnitude") {
  Lanes run("topk", 2);
  run.pass([](std::size_t lane, std::size_t i) { return i % 64 == 5 ? -8.0f - lane : 0.001f * i / 1024; },
           true);
  const Block sum = run.sum();
  for (std::size_t i = 0; i < kValues; ++i) REQUIRE(sum[i] == (i % 64 == 5 ? -17.0f : 0.0f));
}

TEST_CASE("next to nothing, and a block that is all zero, send nothing and lose nothing") {
  for (const std::string name : {"int8", "int16"}) {
    Lanes run(name, 4);
    for (const float size : {0.0f, 1e-40f, 1e-30f}) {
      run.codec->learn(std::vector{run.pass([&](auto, auto) { return size; }, false)});
      run.pass([&](auto, auto) { return size; }, false);
      for (const float x : run.sum()) REQUIRE(x == 0);
    }
  }
}
