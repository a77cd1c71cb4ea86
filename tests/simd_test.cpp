// The hot CPU loops: every instruction set must give the bits of every other, wherever a value stands in its
// span; and the bits must be those of the definitions.
#include "rondo/device/simd.hpp"

#include <bit>
#include <cmath>
#include <functional>
#include <tuple>

#include "catch.hpp"
#include "parity_bench.hpp"

using namespace rondo;
using namespace rondo::parity;

namespace {

using Words = std::vector<std::uint32_t>;
constexpr std::size_t kSizes[] = {0, 1, 15, 16, 17, 63, 65, 1023, 1024, 1025, 2051};

std::vector<const Simd*> tables() {
  std::size_t count = 0;
  const Simd* const* first = simd_tables(&count);
  return {first, first + count};
}

/// Numbers of every size, zeros, subnormals, infinities and NaNs among them.
Floats varied(std::size_t n, std::uint32_t seed) {
  const Floats specials = {0.0f,    -0.0f,    1e-45f,      -1e-40f,        0.5f,
                           1.5f,    -2.5f,    3e38f,       -3e38f,         2e9f,
                           -2.2e9f, INFINITY, -INFINITY,   std::nanf("1"), 87,
                           -103.0f, 88.5f,    1.00390625f, 1.01171875f,    -std::nanf("77")};
  Floats values = draw(static_cast<std::int64_t>(n), seed);
  for (std::size_t i = 0; i < n; ++i) {
    if (i % 3 == 1) values[i] = std::ldexp(values[i], static_cast<int>(i * 7 % 250) - 130);
    if (i % 11 == 5) values[i] = specials[i / 11 % specials.size()];
  }
  return values;
}

/// The bits of floats; every NaN counts as the same, as the sign of a sum of NaNs is the compiler's choice.
Words bits(const Floats& values) {
  Words words;
  for (const float x : values) words.push_back(std::isnan(x) ? 0x7fc00000u : std::bit_cast<std::uint32_t>(x));
  return words;
}
Words random_words(std::size_t n) {
  const RandomStream stream{9, Purpose::test, 0, 0};
  Words words(n);
  for (std::size_t i = 0; i < n; ++i) words[i] = stream.word(i);
  return words;
}

/// What a loop read (three spans of n values) and what it made of them, one span of n words a part.
struct Data {
  Floats a, b, c;
  Words q;
  std::size_t n() const { return a.size(); }
  Data(std::size_t n) : a(varied(n, 1)), b(varied(n, 2)), c(varied(n, 3)), q(random_words(n)) {}  // NOLINT
  Data from(std::size_t at) const {
    Data rest(*this);
    rest.a.erase(rest.a.begin(), rest.a.begin() + static_cast<std::ptrdiff_t>(at));
    rest.b.erase(rest.b.begin(), rest.b.begin() + static_cast<std::ptrdiff_t>(at));
    rest.c.erase(rest.c.begin(), rest.c.begin() + static_cast<std::ptrdiff_t>(at));
    rest.q.erase(rest.q.begin(), rest.q.begin() + static_cast<std::ptrdiff_t>(at));
    return rest;
  }
};
using Parts = std::vector<Words>;

struct Loop {
  const char* name;
  std::function<Parts(const Simd&, Data)> run;  // element by element
};

// A rate and a decay for which 1 - rate * decay has another last bit when it is fused.
constexpr AdamWStep kStep{0.3f, 0.9f, 0.999f, 1e-8f, 0.7f, 10, 1000};

Parts activation(const Simd& simd, Data d, Activation act) {
  Floats slope(d.n()), again = d.a;
  simd.bias_activation(d.a.data(), slope.data(), d.b.data(), 1, d.n(), act);
  simd.bias_activation(again.data(), nullptr, d.b.data(), 1, d.n(), act);
  CHECK(bits(again) == bits(d.a));  // the same with and without slopes
  return {bits(d.a), bits(slope)};
}
Parts adamw(const Simd& simd, Data d, bool fixed) {
  for (float& x : d.c) x = std::fabs(x);  // second moments
  Floats w = d.a;
  if (fixed)
    simd.adamw_i32(w.data(), d.b.data(), d.c.data(), d.q.data(), d.n(), 0x1p-30f, kStep);
  else
    simd.adamw_f32(w.data(), d.b.data(), d.c.data(), d.a.data(), d.n(), 0.7f, kStep);
  return {bits(w), bits(d.b), bits(d.c)};
}

const Loop kLoops[] = {
    {"add_i32",
     [](const Simd& s, Data d) {
       Words y = bits(d.a);
       return s.add_i32(y.data(), d.q.data(), d.n()), Parts{y};
     }},
    {"add_f32",
     [](const Simd& s, Data d) { return s.add_f32(d.a.data(), d.b.data(), d.n()), Parts{bits(d.a)}; }},
    {"dequantise",
     [](const Simd& s, Data d) {
       return s.dequantise(d.a.data(), d.q.data(), d.n(), 0x1p-20f), Parts{bits(d.a)};
     }},
    {"encode",
     [](const Simd& s, Data d) {
       std::vector<std::int32_t> q(d.n());
       s.encode(q.data(), d.a.data(), d.b.data(), d.n(), 0x1p-5f, 31);
       return Parts{Words(q.begin(), q.end()), bits(d.a)};
     }},
    {"scale",
     [](const Simd& s, Data d) { return s.scale(d.a.data(), d.a.data(), d.n(), 0.3f), Parts{bits(d.a)}; }},
    {"multiply",
     [](const Simd& s, Data d) { return s.multiply(d.a.data(), d.b.data(), d.n()), Parts{bits(d.a)}; }},
    {"to_bfloat16",
     [](const Simd& s, Data d) {
       std::vector<std::uint16_t> half(d.n());
       s.to_bfloat16(half.data(), d.a.data(), d.n());
       return Parts{Words(half.begin(), half.end())};
     }},
    {"identity", [](const Simd& s, Data d) { return activation(s, d, Activation::identity); }},
    {"relu", [](const Simd& s, Data d) { return activation(s, d, Activation::relu); }},
    {"gelu", [](const Simd& s, Data d) { return activation(s, d, Activation::gelu); }},
    {"silu", [](const Simd& s, Data d) { return activation(s, d, Activation::silu); }},
    {"activation_backward",
     [](const Simd& s, Data d) {
       s.activation_backward(d.a.data(), d.b.data(), d.c.data(), 1, d.n(), true);
       return Parts{bits(d.a), bits(d.c)};
     }},
    {"adamw_f32", [](const Simd& s, Data d) { return adamw(s, d, false); }},
    {"adamw_i32", [](const Simd& s, Data d) { return adamw(s, d, true); }},
    {"sgd",
     [](const Simd& s, Data d) {
       s.sgd(d.a.data(), d.b.data(), d.c.data(), d.n(), 0.1f, 0.9f, 0.01f);
       return Parts{bits(d.a), bits(d.b)};
     }},
    {"average",
     [](const Simd& s, Data d) { return s.average(d.a.data(), d.b.data(), d.n(), 0.99f), Parts{bits(d.a)}; }},
};

}  // namespace

TEST_CASE("a value has the same bits on every instruction set and wherever it stands in its span") {
  for (const Loop& loop : kLoops)
    for (const std::size_t n : kSizes) {
      const Data data(n);
      const Parts expected = loop.run(*tables().front(), data);
      for (const Simd* table : tables()) {
        CAPTURE(loop.name, n, table->name);
        CHECK(loop.run(*table, data) == expected);
        for (const std::size_t at : {1, 5, 16})
          if (at <= n) {
            Parts rest = expected;
            for (Words& part : rest) part.erase(part.begin(), part.begin() + static_cast<std::ptrdiff_t>(at));
            CHECK(loop.run(*table, data.from(at)) == rest);
          }
      }
    }
}

TEST_CASE("reductions have the same bits on every instruction set, and are right") {
  for (const std::size_t n : kSizes) {
    const Data data(n);
    const Floats plain = draw(static_cast<std::int64_t>(n), 4);
    const std::uint32_t checksum = reference::checksum(data.q);
    std::uint32_t largest = 0;
    double squares = 0;
    for (std::size_t i = 0; i < n; ++i) {
      largest = std::max(largest, reference::magnitude_bits(data.a[i]));
      squares += static_cast<double>(plain[i]) * static_cast<double>(plain[i]);
    }
    const double first = tables().front()->sum_squares(plain.data(), n);
    CHECK(first == Approx(squares).epsilon(1e-13));
    for (const Simd* table : tables()) {
      CAPTURE(n, table->name);
      CHECK(table->checksum(data.q.data(), n) == checksum);
      CHECK(table->max_bits(data.a.data(), n) == largest);
      for (const std::uint32_t word : {0x80000000u, 0x7fffffffu, 0xffffffffu, 0x0000ffffu}) {
        const Words same(n, word);
        CHECK(table->checksum(same.data(), n) == reference::checksum(same));
      }
      std::vector<std::int32_t> codes(n);
      Floats values = data.a;
      CHECK(table->encode(codes.data(), values.data(), Floats(n).data(), n, 3.0f, 31) == largest);
      CHECK(table->sum_squares(plain.data(), n) == first);

      Floats dy = draw(3 * static_cast<std::int64_t>(n), 5), sums(n, 7), want(n);
      for (std::size_t i = 0; i < 3 * n; ++i) want[i % n] += dy[i];
      table->activation_backward(dy.data(), nullptr, sums.data(), 3, n, false);
      CHECK(sums == want);
    }
  }
}

TEST_CASE("blocks are converted, added, measured and sealed in one pass") {
  const Data data(kBlock);
  const Floats more = varied(kBlock, 4);
  for (const Simd* table : tables())
    for (const Held held : {Held::nothing, Held::values, Held::integers}) {
      CAPTURE(table->name, static_cast<int>(held));
      Words q = held == Held::values ? bits(more) : data.q, want(kBlock), unsealed = q;
      std::uint32_t largest = 0;
      for (std::size_t i = 0; i < want.size(); ++i) {
        want[i] = static_cast<std::uint32_t>(reference::to_fixed(data.a[i], 0x1p20f));
        largest = std::max(largest, reference::magnitude_bits(data.a[i]));
        if (held == Held::integers) want[i] += data.q[i];
        if (held != Held::values) continue;
        want[i] += static_cast<std::uint32_t>(reference::to_fixed(more[i], 0x1p20f));
        largest = std::max(largest, reference::magnitude_bits(more[i]));
      }
      std::uint32_t seal = 0;
      CHECK(table->quantise(q.data(), data.a.data(), held, 0x1p20f, &seal) == largest);
      CHECK(q == want);
      CHECK(seal == reference::seal(want));
      CHECK(table->seal(want.data()) == seal);
      CHECK(table->quantise(unsealed.data(), data.a.data(), held, 0x1p20f, nullptr) == largest);
      CHECK(unsealed == want);
    }
}

TEST_CASE("blocks are sealed as they were before they are summed, whether converted or not") {
  for (const Simd* table : tables())
    for (const int ranks : {1, 2, 3, 4, 5})
      for (const int only : {kEveryRank, ranks - 1}) {
        CAPTURE(table->name, ranks, only);
        constexpr std::size_t begin = 7, n = begin + kBlock + 9;
        std::vector<Words> parts;
        Words sum(n), fixed(n), seals(static_cast<std::size_t>(ranks)), sealed;
        std::uint32_t largest = 0;
        for (int r = 0; r < ranks; ++r) {
          parts.push_back(bits(varied(n, static_cast<std::uint32_t>(20 + r))));
          sealed.push_back(reference::seal(std::span(parts.back()).subspan(begin, kBlock)));
          for (std::size_t i = begin; i < begin + kBlock; ++i) {
            const auto value = std::bit_cast<float>(parts.back()[i]);
            sum[i] += parts.back()[i];
            fixed[i] += static_cast<std::uint32_t>(reference::to_fixed(value, 0x1p18f));
            largest = std::max(largest, reference::magnitude_bits(value));
          }
        }
        for (const bool converted : {false, true}) {
          std::vector<Words> got = parts, want = parts;
          std::vector<std::uint32_t*> peers;
          for (int r = 0; r < ranks; ++r) {
            peers.push_back(got[static_cast<std::size_t>(r)].data());
            if (only == kEveryRank || only == r)
              std::copy_n((converted ? fixed : sum).begin() + begin, kBlock,
                          want[static_cast<std::size_t>(r)].begin() + begin);
          }
          if (converted)
            CHECK(table->quantise_sum_sealed(peers.data(), ranks, begin, 0x1p18f, only, seals.data()) ==
                  largest);
          else
            table->sum_sealed_i32(peers.data(), ranks, begin, only, seals.data());
          CHECK(got == want);
          CHECK(seals == sealed);
        }
      }
}

TEST_CASE("whatever one or two bits change breaks a seal") {
  const Words block = random_words(kBlock);
  const std::uint32_t seal = simd().seal(block.data());
  std::size_t unseen = 0;
  const auto with = [&](std::size_t i, int a, std::size_t j, int b) {
    Words changed = block;
    changed[i] ^= 1u << a;
    changed[j] ^= 1u << b;
    unseen += changed != block && simd().seal(changed.data()) == seal;
  };
  for (std::size_t i = 0; i < block.size(); ++i)  // the same bit twice, for all distances
    for (const int bit : {0, 15, 16, 31}) with(0, bit, i, bit);
  const RandomStream stream{42, Purpose::test, 0, 2};
  for (std::uint64_t n = 0; n < 20000; ++n) {
    const auto word = stream.block(n);
    with(word[0] % kBlock, static_cast<int>(word[1] % 32), word[2] % kBlock, static_cast<int>(word[3] % 32));
  }
  CHECK(unseen == 0);
  std::vector<std::uint32_t> weights;
  for (std::uint32_t half = 0; half < 2 * kBlock; ++half) weights.push_back(seal_weight(half));
  std::ranges::sort(weights);
  CHECK(std::ranges::adjacent_find(weights) == weights.end());
  CHECK(std::ranges::all_of(weights, [](std::uint32_t w) { return w % 2 == 1 && w < 32768; }));
}

TEST_CASE("sums over ranks touch their slice of every rank and nothing else") {
  for (const Simd* table : tables())
    for (const int ranks : {1, 2, 3, 4, 5})
      for (const std::size_t n : kSizes) {
        const std::size_t begin = n / 5, end = n - n / 7;
        std::vector<Words> before, ints, floats, exact;
        std::vector<Floats> gradients;
        for (int r = 0; r < ranks; ++r) {
          const auto seed = static_cast<std::uint32_t>(10 + r);
          gradients.push_back(varied(n, seed));
          before.push_back(bits(draw(static_cast<std::int64_t>(n), seed)));
          exact.emplace_back();
          for (const float g : gradients.back()) exact.back().push_back(std::bit_cast<std::uint32_t>(g));
        }
        ints = floats = before;
        std::vector<Words> few_ints = before, few_floats = before;
        std::vector<Words> want_ints = before, want_floats = before, want_exact = exact;
        std::uint32_t largest = 0;
        for (std::size_t i = begin; i < end; ++i) {
          std::uint32_t sum = 0, fixed = 0;
          float real_sum = std::bit_cast<float>(before[0][i]);
          for (std::size_t r = 0; r < before.size(); ++r) {
            sum += before[r][i];
            if (r > 0) real_sum += std::bit_cast<float>(before[r][i]);
            fixed += static_cast<std::uint32_t>(reference::to_fixed(gradients[r][i], 0x1p18f));
            largest = std::max(largest, reference::magnitude_bits(gradients[r][i]));
          }
          for (std::size_t r = 0; r < before.size(); ++r) {
            want_ints[r][i] = sum;
            want_floats[r][i] = std::bit_cast<std::uint32_t>(real_sum);
            want_exact[r][i] =
                std::bit_cast<std::uint32_t>(static_cast<float>(static_cast<std::int32_t>(fixed)) * 0x1p-18f);
          }
        }
        const auto peers = [](std::vector<Words>& words) {
          std::vector<std::uint32_t*> all;
          for (Words& w : words) all.push_back(w.data());
          return all;
        };
        table->sum_i32(peers(ints).data(), ranks, begin, end, kEveryRank);
        table->sum_f32(peers(floats).data(), ranks, begin, end, kEveryRank);
        const std::uint32_t found =
            table->exact_sum_all(peers(exact).data(), ranks, begin, end, 0x1p18f, 0x1p-18f);
        const int only = static_cast<int>(n) % ranks;
        table->sum_i32(peers(few_ints).data(), ranks, begin, end, only);
        table->sum_f32(peers(few_floats).data(), ranks, begin, end, only);
        const auto few = [&](std::vector<Words> all, const std::vector<Words>& untouched) {
          for (int r = 0; r < ranks; ++r)
            if (r != only) all[static_cast<std::size_t>(r)] = untouched[static_cast<std::size_t>(r)];
          return all;
        };
        CAPTURE(table->name, ranks, n);
        CHECK(few_ints == few(want_ints, before));
        CHECK(few_floats == few(want_floats, before));
        CHECK(exact == want_exact);
        CHECK(found == largest);
        CHECK(ints == want_ints);
        CHECK(floats == want_floats);
      }
}

TEST_CASE("fixed point, bfloat16 and dropout masks are those of their integer definitions") {
  const RandomStream stream{42, Purpose::test, 0, 1};
  Floats any(200 * kBlock);  // of all bit patterns
  for (std::size_t i = 0; i < any.size(); ++i) any[i] = std::bit_cast<float>(stream.word(i));
  for (std::uint32_t i = 0; i < 65536; ++i)  // ties and what is next to them, for every exponent
    any[i] = std::bit_cast<float>((i << 16) | (0x7fffu + i % 3));
  for (const Simd* table : tables()) {
    std::vector<std::uint16_t> half(any.size());
    Words q(any.size());
    table->to_bfloat16(half.data(), any.data(), any.size());
    for (std::size_t at = 0; at < any.size(); at += kBlock)
      table->quantise(&q[at], &any[at], Held::nothing, 0x1p24f, nullptr);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < any.size(); ++i) {
      wrong += half[i] != reference::to_bfloat16(any[i]);
      wrong += static_cast<std::int32_t>(q[i]) != reference::to_fixed(any[i], 0x1p24f);
    }
    CHECK(wrong == 0);

    for (const std::int64_t cols : {1, 4, 63, 64, 65, 130})
      for (const float p : {0.0f, 0.1f, 0.5f, 0.99f})
        for (const std::uint64_t first : {std::uint64_t{0}, std::uint64_t{3}, std::uint64_t{1} << 31}) {
          Floats mask(static_cast<std::size_t>(3 * cols));
          table->dropout_mask(mask.data(), 3, static_cast<std::size_t>(cols), p, stream, first);
          Doubles want(mask.size());
          reference::dropout_mask(mat(want, 3, cols), static_cast<double>(p), stream,
                                  static_cast<std::int64_t>(first));
          CHECK(error(mask, want) < 1e-7);
        }
  }
}

TEST_CASE("updates tell the sum of the bits that they replace") {
  for (const std::size_t n : kSizes)
    for (const Simd* table : tables()) {
      CAPTURE(n, table->name);
      std::uint32_t seen = 0;
      const Data before(n);
      for (std::size_t i = 0; i < n; ++i)
        seen += std::bit_cast<std::uint32_t>(before.a[i]) + std::bit_cast<std::uint32_t>(before.b[i]);
      Data d = before;
      CHECK(table->sgd(d.a.data(), d.b.data(), d.c.data(), n, 0.1f, 0.9f, 0.01f) == seen);
      for (std::size_t i = 0; i < n; ++i) seen += std::bit_cast<std::uint32_t>(before.c[i]);
      for (const bool fixed : {false, true}) {
        d = before;
        const Floats g = before.a;
        CHECK((fixed
                   ? table->adamw_i32(d.a.data(), d.b.data(), d.c.data(), d.q.data(), n, 0x1p-30f, kStep)
                   : table->adamw_f32(d.a.data(), d.b.data(), d.c.data(), g.data(), n, 0.7f, kStep)) == seen);
      }
    }
}

TEST_CASE("exponentials in float32 are as near to double as they are said to be") {
  const std::size_t n = 400000;
  const Floats bias(n);
  for (const auto& [act, value_error, slope_error] :
       {std::tuple{Activation::gelu, 2.5e-7, 2.7e-7}, std::tuple{Activation::silu, 1.6e-7, 2e-7}}) {
    Floats x(n), slope(n);
    for (std::size_t i = 0; i < n; ++i) x[i] = static_cast<float>(i) * 1e-4f - 20;
    const Floats z = x;
    simd().bias_activation(x.data(), slope.data(), bias.data(), 1, n, act);
    double worst_value = 0, worst_slope = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const auto want = reference::activate(act, static_cast<double>(z[i]));
      const double size = std::max(1.0, std::fabs(want.value));
      worst_value = std::max(worst_value, std::fabs(static_cast<double>(x[i]) - want.value) / size);
      worst_slope = std::max(worst_slope, std::fabs(static_cast<double>(slope[i]) - want.slope));
    }
    CHECK(worst_value < value_error);
    CHECK(worst_slope < slope_error);
  }
}

TEST_CASE("the loop that measures the peak does every operation that it counts") {
  std::size_t count = 0;
  const Simd* const* tables = simd_tables(&count);
  for (std::size_t t = 0; t < count; ++t) {
    float near = 0, far = 0;
    const double some = tables[t]->fused_adds(100, 0.01f, &near);
    CHECK(tables[t]->fused_adds(200, 0.01f, &far) == 2 * some);
    // x <- 0.99 x + 0.01 from 12 starts of mean 5.5 tends to 1: what is left of 4.5 * 12 shrinks by 0.99 a
    // round
    CHECK(near == Approx(12 + 54 * std::pow(0.99, 100)).epsilon(1e-4));
    CHECK(far == Approx(12 + 54 * std::pow(0.99, 200)).epsilon(1e-4));
  }
}
