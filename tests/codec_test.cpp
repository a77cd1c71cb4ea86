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
  std::unique_ptr<BlockCodec> codec;
  std::vector<Block> residuals;
  std::vector<std::uint32_t> words;
  std::vector<double> given;  ///< by all lanes in the last pass, what they had not sent before included
  std::vector<std::int64_t> exact;

  Lanes(const std::string& name, std::int64_t lanes)
      : codec(make_block_codec(name, 1, lanes)),
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
      largest = std::max(largest, codec->encode_block(static_cast<std::int64_t>(lane), 0, values.data(),
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
    codec->decode_block(0, words.data(), values.data());
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

namespace {

constexpr std::int64_t kRows = 40, kCols = 60;

/// Lanes that hand powersgd of rank 4 a matrix, which begins at 0, and a bias.
struct Matrices {
  static constexpr std::size_t kBias = 3 * kValues;
  std::int64_t lanes;
  ParameterStore store;
  std::unique_ptr<Codec> codec;
  std::vector<Block> residuals;
  double remains = 0;  ///< the largest that all lanes together have not sent
  float largest = 0;   ///< of the matrix's factors in any lane, in the last step
  int repeated = 0;    ///< passes
  double mistake = 0;  ///< the largest difference of what lanes gave from what was summed and what remains

  explicit Matrices(std::int64_t of) : lanes(of) {
    store.add("weight", {kRows, kCols}, {}, true);
    store.add("bias", {kCols}, {}, false);
    codec = make_codec({.compression = "powersgd", .powersgd_rank = 4}, store, lanes);
    residuals.assign(static_cast<std::size_t>(lanes), Block(static_cast<std::size_t>(store.values())));
  }

  template <class Gradient>
  void step(Gradient gradient) {
    const auto values = static_cast<std::size_t>(store.values());
    for (bool again = true; again; repeated += again) {
      std::vector<std::uint32_t> words(static_cast<std::size_t>(codec->words_before(store.blocks())));
      std::vector<std::uint32_t> maxima(static_cast<std::size_t>(store.blocks()));
      std::vector<double> rest(values), left(values);
      std::vector<Block> next;
      for (std::size_t lane = 0; lane < residuals.size(); ++lane) {
        Block& x = next.emplace_back(values);
        for (std::size_t i = 0; i < values; ++i)
          if (i < kRows * kCols || (i >= kBias && i < kBias + kCols)) x[i] = gradient(lane, i);
        for (std::size_t i = 0; i < values; ++i) rest[i] += static_cast<double>(x[i] + residuals[lane][i]);
        codec->encode(static_cast<std::int64_t>(lane), {0, store.blocks()}, x.data(), residuals[lane].data(),
                      words.data(), maxima.data());
        for (std::size_t i = 0; i < values; ++i) left[i] += static_cast<double>(x[i]);
      }
      Block sum(values);
      codec->decode(words.data(), sum.data());
      again = codec->learn(maxima);
      if (again) continue;
      residuals = next;
      largest = std::bit_cast<float>(maxima[0]);
      remains = 0;
      for (std::size_t i = 0; i < values; ++i) {
        remains = std::max(remains, std::fabs(left[i]));
        mistake = std::max(mistake, std::fabs(rest[i] - static_cast<double>(sum[i]) - left[i]));
      }
    }
  }
};

}  // namespace

TEST_CASE("powersgd sends all of matrices of small rank before long, but for rounding") {
  for (const std::int64_t lanes : {1, 3, 16}) {
    CAPTURE(lanes);
    Matrices run(lanes);
    CHECK(run.codec->words_before(run.store.blocks()) == 2 * kBlock / 2);  // 4 x 60 numbers, then the bias
    const RandomStream stream{7, Purpose::test, 0, 0};
    const auto u = [&](std::size_t k, std::size_t r) { return stream.uniform(100 * k + r) - 0.5f; };
    const auto gradient = [&](std::size_t lane, std::size_t i) {  // of rank 2
      if (i >= Matrices::kBias) return u(9, i - Matrices::kBias);
      const std::size_t r = i / kCols, c = i % kCols;
      return u(0, r) * u(1, c) + static_cast<float>(lane) * u(2, r) * u(3, c);
    };
    std::vector<double> quanta;  // of what was sent in each step, had its scale been its own
    for (int step = 0; step < 10; ++step) {
      run.step(gradient);
      quanta.push_back(4 * static_cast<double>(run.largest) * static_cast<double>(lanes) / 32767);
    }
    CHECK(run.repeated == 2);  // even and odd steps have scales of their own
    CHECK(run.mistake < 1e-5 * static_cast<double>(lanes));
    // The last step sent L^T M. Each lane rounds by half a quantum, and the columns of L, four values each,
    // are no longer than 1: so each value of the sum is wrong by at most as many quanta as there are lanes. L
    // itself is M R^T of the step before, rounded as much. Both scales were set two steps earlier.
    CHECK(run.remains < static_cast<double>(lanes) * (quanta[6] + quanta[7]));
  }
}

TEST_CASE("powersgd loses nothing of matrices of any rank, and what remains does not grow for ever") {
  constexpr std::int64_t lanes = 3;
  Matrices run(lanes);
  double early = 0, late = 0;
  for (std::uint32_t step = 0; step < 200; ++step) {
    run.step([&](std::size_t lane, std::size_t i) {
      return random_gradient(0, lane, i) + random_gradient(step, lane, i);
    });
    (step < 100 ? early : late) = std::max(step < 100 ? early : late, run.remains);
  }
  CHECK(run.mistake < 1e-6 * early);
  CHECK(late < 1.5 * early);
}
