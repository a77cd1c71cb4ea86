// The arithmetic of the exact all-reduce: exponents that fit, and integers that never overflow.
#include "rondo/exchange/fixed_point.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "catch.hpp"
#include "rondo/core/philox.hpp"
#include "rondo/device/simd.hpp"
#include "rondo/device/tensor.hpp"

using namespace rondo;

namespace {

using Words = std::vector<std::uint32_t>;
constexpr std::int64_t kCounts[] = {1, 2, 3, 7, 8, 64, 100, 1000, 4096};
constexpr std::int64_t kMaxInt = 2147483647;

std::uint32_t bits(double x) { return std::bit_cast<std::uint32_t>(static_cast<float>(x)); }
int exponent(const FixedPoint& fixed, std::int64_t block) { return std::ilogb(fixed.scales()[block]); }
std::int64_t limit(std::int64_t micro_batches) { return kMaxInt / micro_batches; }

/// A number of any size between 1e-38 and 1e38, subnormals and zero now and then.
float any_size(const RandomStream& stream, std::uint64_t i) {
  const double u = static_cast<double>(stream.uniform(2 * i)),
               v = static_cast<double>(stream.uniform(2 * i + 1));
  if (v < 0.02) return 0;
  if (v < 0.05) return static_cast<float>(u * 1e-38);
  return static_cast<float>(std::pow(10.0, 76 * u - 38));
}

}  // namespace

TEST_CASE("without history everything but the tiniest gradients is flagged") {
  for (const std::int64_t v : kCounts) {
    FixedPoint fixed({{0, 2}, {2, 3}}, v);
    REQUIRE(fixed.blocks() == 3);
    CHECK(exponent(fixed, 2) == FixedPoint::kNoHistory);
    CHECK(fixed.overflows(0, bits(1e-20)));
    CHECK(!fixed.overflows(0, 0));
    CHECK(!fixed.refit_flagged(Words{0, 0, 0}));
  }
}

TEST_CASE("an exponent leaves the headroom, and no more than a bit above it") {
  for (const std::int64_t v : kCounts) {
    FixedPoint fixed({{0, 1}}, v);
    CHECK(fixed.bits_left() == 31 - static_cast<int>(std::ceil(std::log2(v))) - FixedPoint::kHeadroomBits);
    for (const float largest : {1e-25f, 0.1f, 1.0f, std::nextafter(2.0f, 0.0f), 3e38f}) {
      fixed.refit(Words{bits(static_cast<double>(largest))});
      const double q = std::ldexp(static_cast<double>(largest), exponent(fixed, 0));
      CHECK(q * 32 <= static_cast<double>(limit(v) + 1));     // it may grow 32-fold ...
      CHECK(q * 32 * 4 > static_cast<double>(limit(v) + 1));  // ... but precision is not given away
      CHECK(!fixed.overflows(
          0,
          bits(static_cast<double>(largest) * 31.9 > 3.4e38 ? 3.4e38 : static_cast<double>(largest) * 31.9)));
      CHECK(fixed.inverses()[0] * fixed.scales()[0] == 1);
    }
    for (const float tiny : {0.0f, 1e-45f, 1e-40f}) {  // zeros, subnormal numbers: the finest
      fixed.refit(Words{bits(static_cast<double>(tiny))});
      CHECK(exponent(fixed, 0) == FixedPoint::kNoHistory);
    }
  }
}

TEST_CASE("a block is never finer than 2^-12 of its own tensor's maximum") {
  FixedPoint fixed({{0, 3}, {3, 5}}, 8);
  fixed.refit(Words{bits(1.0), bits(1e-9), 0, bits(1e-9), bits(1e-12)});
  CHECK(exponent(fixed, 1) == exponent(fixed, 0) + 12);
  CHECK(exponent(fixed, 2) == exponent(fixed, 0) + 12);
  CHECK(exponent(fixed, 3) > exponent(fixed, 1));  // the other tensor has its own floor
  CHECK(exponent(fixed, 4) == exponent(fixed, 3) + 10);
}

TEST_CASE("whatever the gradients, one redo of the flagged blocks is enough") {
  const RandomStream stream{1, Purpose::test, 0, 0};
  std::uint64_t draw = 0;
  int redone = 0;
  for (const std::int64_t v : kCounts)
    for (int round = 0; round < 200; ++round) {
      FixedPoint fixed({{0, 2}, {2, 5}}, v);
      Words history(5), now(5);
      for (std::uint32_t& b : history) b = bits(static_cast<double>(any_size(stream, draw++)));
      for (std::uint32_t& b : now) b = bits(static_cast<double>(any_size(stream, draw++)));
      if (round % 4 != 0) fixed.refit(history);
      std::vector<int> before;
      std::vector<bool> flagged;
      for (std::int64_t b = 0; b < 5; ++b) {
        before.push_back(exponent(fixed, b));
        flagged.push_back(fixed.overflows(b, now[static_cast<std::size_t>(b)]));
      }
      const bool any = fixed.refit_flagged(now);
      redone += any;
      bool right = any == (std::ranges::find(flagged, true) != flagged.end());
      for (std::int64_t b = 0; b < 5; ++b) {
        const auto i = static_cast<std::size_t>(b);
        right = right && exponent(fixed, b) >= -126 && exponent(fixed, b) <= 126;
        right = right && (flagged[i] || exponent(fixed, b) == before[i]);  // the others keep theirs
        right = right && !fixed.overflows(b, now[i]);
      }
      CHECK(right);
      CHECK(!fixed.refit_flagged(now));
      fixed.refit(now);
      CHECK(!fixed.refit_flagged(now));
    }
  CHECK(redone > 500);
}

TEST_CASE("sums of blocks that are not flagged are exact to half a unit a micro-batch") {
  const RandomStream stream{2, Purpose::test, 0, 0};
  std::uint64_t draw = 0;
  for (const std::int64_t v : kCounts)
    for (int round = 0; round < 8; ++round) {
      constexpr std::size_t n = 33;  // the rest of the block is zeros
      const double size = static_cast<double>(any_size(stream, draw++));
      // The worst case: the exponent is from a history in which the block only just was not flagged.
      std::vector<std::vector<float>> gradients(static_cast<std::size_t>(v), std::vector<float>(kBlock));
      std::uint32_t largest = 0;
      for (std::vector<float>& g : gradients) {
        for (float& x : std::span(g).first(n))
          x = static_cast<float>(size * (2 * static_cast<double>(stream.uniform(draw++)) - 1));
        g[0] = static_cast<float>(size);  // all at the maximum, all of one sign
        g[1] = -g[0];
        largest = std::max(largest, simd().max_bits(g.data(), n));
      }
      FixedPoint fixed({{0, 1}}, v);
      for (int shrink = 0; shrink < 7; ++shrink) {
        fixed.refit(Words{bits(size * std::ldexp(1.0, -shrink))});
        if (fixed.overflows(0, largest)) break;
        Words sum(kBlock);
        std::vector<std::int64_t> wide(n);
        std::vector<double> exact(n);
        for (std::size_t m = 0; m < gradients.size(); ++m) {
          Words one(kBlock);
          simd().quantise(one.data(), gradients[m].data(), Held::nothing, fixed.scales()[0], nullptr);
          simd().quantise(sum.data(), gradients[m].data(), Held::integers, fixed.scales()[0], nullptr);
          for (std::size_t i = 0; i < n; ++i) {
            wide[i] += static_cast<std::int32_t>(one[i]);
            exact[i] += static_cast<double>(gradients[m][i]);
          }
        }
        const double unit = std::ldexp(1.0, -exponent(fixed, 0));
        bool right = true;
        for (std::size_t i = 0; i < n; ++i) {
          const auto q = static_cast<std::int32_t>(sum[i]);
          right = right && wide[i] == q;
          right = right && std::fabs(q * unit - exact[i]) <=
                               unit * 0.5 * static_cast<double>(v) + 1e-12 * std::fabs(exact[i]);
        }
        CHECK(right);
        std::vector<float> back(n);
        simd().dequantise(back.data(), sum.data(), n, fixed.inverses()[0]);
        for (std::size_t i = 0; i < n; ++i)
          right = right && std::fabs(static_cast<double>(back[i]) - exact[i]) <=
                               unit * 0.5 * static_cast<double>(v) + 1.2e-7 * std::fabs(exact[i]);
        CHECK(right);
      }
    }
}

TEST_CASE("the flag is exact: the share of int32 itself passes, the next number does not") {
  for (const std::int64_t v : kCounts) {
    FixedPoint fixed({{0, 1}}, v);
    fixed.refit(Words{bits(1.0)});
    const float unit = fixed.inverses()[0];
    float largest = static_cast<float>(limit(v)) * unit;  // may have been rounded up
    while (std::rint(static_cast<double>(largest) / static_cast<double>(unit)) >
           static_cast<double>(limit(v)))
      largest = std::nextafter(largest, 0.0f);
    CHECK(!fixed.overflows(0, bits(static_cast<double>(largest))));
    const double above = std::max(static_cast<double>(std::nextafter(largest, INFINITY)),
                                  (static_cast<double>(limit(v)) + 0.75) * static_cast<double>(unit));
    CHECK(fixed.overflows(0, bits(above)));
  }
}

TEST_CASE("exponents come back from a snapshot with their scales") {
  FixedPoint fixed({{0, 1}, {1, 3}}, 8), other({{0, 1}, {1, 3}}, 8);
  fixed.refit(Words{bits(1e-5), bits(3.0), bits(1e20)});
  Snapshot snapshot;
  SaveVisitor save(snapshot);
  fixed.visit(save);
  LoadVisitor load(snapshot);
  other.visit(load);
  for (std::int64_t b = 0; b < 3; ++b) {
    CHECK(other.scales()[b] == fixed.scales()[b]);
    CHECK(other.inverses()[static_cast<std::size_t>(b)] == fixed.inverses()[static_cast<std::size_t>(b)]);
  }
  CHECK(exponent(other, 0) != exponent(other, 2));
}
