// Parity of what runs on whole arenas: quantisation, squares and the optimizers, the latter over many steps.
#include <bit>

#include "catch.hpp"
#include "parity_bench.hpp"
#include "rondo/optim/optimizer.hpp"

using namespace rondo;
using namespace rondo::parity;

namespace {

using Words = std::vector<std::uint32_t>;

/// Gradients in float or in fixed point, with a scale per block: whatever an optimizer may be given.
struct Gradients {
  std::int64_t blocks;
  Floats values, scales;
  Words fixed;

  Gradients(std::int64_t n, bool in_fixed_point, std::uint32_t seed)
      : blocks(n), values(draw(n * kBlock, seed)), scales(draw(n, seed + 1, 0.5f, 2)) {
    if (!in_fixed_point) return;
    for (float& scale : scales) scale *= 0x1p-26f;
    for (const float g : values) fixed.push_back(static_cast<std::uint32_t>(reference::to_fixed(g, 0x1p26f)));
  }
  GradientView host() const { return {values.data(), fixed.empty() ? nullptr : fixed.data(), scales.data()}; }
  GradientView on(Bench& bench) const {
    if (fixed.empty()) return {bench.in(values), nullptr, bench.in(scales)};
    return {nullptr, bench.in(fixed), bench.in(scales)};
  }
};

}  // namespace

TEST_CASE("gradients are quantised, added and measured exactly, whatever their size") {
  for (const auto& backend : backends())
    for (const std::int64_t blocks : {0, 1, 3})
      for (const Held held : {Held::nothing, Held::values, Held::integers}) {
        Floats g = draw(blocks * kBlock, 1);
        const Floats scales = {0x1p30f, 0x1p126f, 0x1p-126f};
        const Floats far = {0.5f,  1.5f,  -2.5f,  0x1p-31f, 3 * 0x1p-31f, 2,        -2,
                            -0.0f, 1e38f, -1e38f, 1e-45f,   1e-38f,       INFINITY, -INFINITY};
        for (std::int64_t b = 0; b < blocks; ++b) std::copy(far.begin(), far.end(), g.begin() + b * kBlock);
        if (blocks == 3) g[5] = g[2 * kBlock + 700] = -std::nanf("");
        Words before(g.size(), 0x80000001u), bits(static_cast<std::size_t>(blocks), 3);
        if (held == Held::values) {  // the far ones at other places than g's
          Floats values = draw(blocks * kBlock, 2);
          for (std::int64_t b = 0; b < blocks; ++b)
            std::copy(far.begin(), far.end(), values.begin() + b * kBlock + 7);
          for (std::size_t i = 0; i < before.size(); ++i) before[i] = std::bit_cast<std::uint32_t>(values[i]);
        }
        Words want = before;
        Words want_bits = bits, sums(bits), want_sums(bits.size());
        Bench bench(*backend);
        std::uint32_t* q = bench.in(before);
        const float* table = bench.in(scales);
        std::uint32_t *largest = bench.in(bits), *checksums = bench.in(sums);
        bench->quantise(q, bench.in(g), blocks, table, held, largest, checksums);
        for (std::size_t i = 0; i < g.size(); ++i) {
          const auto fixed = [&](float value) {
            want_bits[i / kBlock] = std::max(want_bits[i / kBlock], reference::magnitude_bits(value));
            return static_cast<std::uint32_t>(reference::to_fixed(value, scales[i / kBlock]));
          };
          if (held == Held::nothing) want[i] = 0;
          if (held == Held::values) want[i] = fixed(std::bit_cast<float>(want[i]));
          want[i] += fixed(g[i]);
        }
        for (std::size_t b = 0; b < bits.size(); ++b)
          want_sums[b] = reference::checksum(std::span(want).subspan(b * kBlock, kBlock));
        CHECK(bench.out(q, blocks * kBlock) == want);
        CHECK(bench.out(largest, blocks) == want_bits);
        CHECK(bench.out(checksums, blocks) == want_sums);
        if (held == Held::nothing) {
          auto* in_place = reinterpret_cast<std::uint32_t*>(bench.in(g));
          bench->quantise(in_place, reinterpret_cast<float*>(in_place), blocks, table, held, largest,
                          nullptr);
          CHECK(bench.out(in_place, blocks * kBlock) == want);
        }
        bench->quantise(q, bench.in(Floats(g.size())), blocks, table, Held::integers, largest, nullptr);
        CHECK(bench.out(largest, blocks) == want_bits);  // maxima only grow
        std::uint32_t* again = bench.in(Words(bits.size()));
        bench->checksum(q, blocks, again);
        CHECK(bench.out(again, blocks) == want_sums);
      }
}

TEST_CASE("sums of squares of blocks") {
  for (const auto& backend : backends())
    for (const bool fixed : {false, true}) {
      const Gradients g(3, fixed, 2);
      Bench bench(*backend);
      Doubles want(3);
      double* device = bench.in(Doubles(3, -1));
      bench->block_squares(g.on(bench), 3, device);
      const Doubles squares = bench.out(device, 3);
      reference::block_squares(reference::scaled(g.host(), 3), want.data());
      for (std::size_t b = 0; b < 3; ++b) CHECK(squares[b] == Approx(want[b]).epsilon(1e-7));
    }
}

TEST_CASE("100 steps of AdamW, SGD and averaging stay at the formulas' weights") {
  constexpr std::int64_t kBlocks = 3, kValues = kBlocks * kBlock;
  const Floats decays = {1, 0, 1}, first = draw(kValues, 3);
  for (const auto& backend : backends())
    for (const bool fixed : {false, true}) {
      Bench bench(*backend);
      float* w = bench.in(first);
      float* m = bench.in(Floats(kValues));
      float* v = bench.in(Floats(kValues));
      float* sgd_w = bench.in(first);
      float* momentum = bench.in(Floats(kValues));
      float* mean = bench.in(first);
      const float* decay_table = bench.in(decays);
      Doubles rw = wide(first), rm(kValues), rv(kValues), rsgd_w = rw, rmomentum(kValues), rmean = rw;
      for (int t = 1; t <= 100; ++t) {
        const Gradients g(kBlocks, fixed, static_cast<std::uint32_t>(100 + t));
        const Doubles scaled = reference::scaled(g.host(), kBlocks);
        const AdamWStep step{1e-2f,
                             0.9f,
                             0.999f,
                             1e-8f,
                             0.1f,
                             static_cast<float>(1 / (1 - std::pow(0.9, t))),
                             static_cast<float>(1 / (1 - std::pow(0.999, t)))};
        const GradientView view = g.on(bench);
        bench->adamw(w, m, v, view, kBlocks, decay_table, step, nullptr);
        bench->sgd(sgd_w, momentum, view, kBlocks, decay_table, 1e-2f, 0.9f, 0.1f, nullptr);
        bench->average(mean, w, kValues, 0.95f);
        reference::adamw(rw.data(), rm.data(), rv.data(), scaled, decays.data(), step);
        reference::sgd(rsgd_w.data(), rmomentum.data(), scaled, decays.data(), static_cast<double>(1e-2f),
                       static_cast<double>(0.9f), static_cast<double>(0.1f));
        reference::average(rmean.data(), rw.data(), kValues, static_cast<double>(0.95f));
      }
      CHECK(error(bench.out(w, kValues), rw) < 5e-6);
      CHECK(error(bench.out(m, kValues), rm) < 5e-7);
      CHECK(error(bench.out(v, kValues), rv) < 5e-6);
      CHECK(error(bench.out(sgd_w, kValues), rsgd_w) < 5e-6);
      CHECK(error(bench.out(momentum, kValues), rmomentum) < 5e-6);
      CHECK(error(bench.out(mean, kValues), rmean) < 5e-6);
    }
}

TEST_CASE("updates remember the bits that they found, block by block") {
  constexpr std::int64_t kBlocks = 3, kValues = kBlocks * kBlock;
  for (const auto& backend : backends()) {
    Bench bench(*backend);
    const Floats decays = {1, 0, 1};
    float* arenas[] = {bench.in(draw(kValues, 3)), bench.in(draw(kValues, 4)),
                       bench.in(Floats(kValues, 1e-3f))};
    const float* decay_table = bench.in(decays);
    std::uint32_t* seen = bench.in(Words{1, 2, 3});
    Words want = {1, 2, 3};
    const auto found = [&](std::size_t count) {
      for (std::uint32_t& word : want) word *= kSeenFactor;
      for (std::size_t a = 0; a < count; ++a) {
        const Floats values = bench.out(arenas[a], kValues);
        for (std::size_t i = 0; i < values.size(); ++i)
          want[i / static_cast<std::size_t>(kBlock)] += std::bit_cast<std::uint32_t>(values[i]);
      }
    };
    for (std::uint32_t round = 0; round < 2; ++round) {
      const GradientView g = Gradients(kBlocks, round == 0, 5 + round).on(bench);
      found(3);
      bench->adamw(arenas[0], arenas[1], arenas[2], g, kBlocks, decay_table,
                   {1e-2f, 0.9f, 0.999f, 1e-8f, 0.1f, 2, 3}, seen);
      found(2);
      bench->sgd(arenas[0], arenas[1], g, kBlocks, decay_table, 1e-2f, 0.9f, 0.1f, seen);
      CHECK(bench.out(seen, kBlocks) == want);
    }
  }
}

TEST_CASE("an optimizer decays weights but not biases, and corrects AdamW's means from the first step") {
  for (const auto& backend : backends())
    for (const char* kind : {"adamw", "sgd"}) {
      ParameterStore store;
      store.add("bias", {7}, {0.5, 0.25}, false);
      store.add("weight", {1, kBlock + 1}, {0.5, 0.25}, true);
      store.allocate(*backend, 5);
      const std::int64_t n = store.values();
      Floats first(static_cast<std::size_t>(n));
      backend->copy_out(first.data(), store.arena(), first.size() * sizeof(float));
      OptimizerOptions options;
      options.kind = kind;
      options.weight_decay = 0.1;
      options.average_decay = 0.5;
      const auto optimizer = make_optimizer(options, *backend, store);
      Doubles w = wide(first), m = zeros(n), v = m, mean = w;
      const Floats decays = {0, 1, 1}, ones = {1, 1, 1};
      const Floats g = draw(n, 6);
      Bench bench(*backend);
      const float *gradient = bench.in(g), *scale = bench.in(ones);
      for (int step = 0; step < 20; ++step) {
        const std::int64_t version = store.version();
        for (const BlockSpan span : {BlockSpan{0, 1}, BlockSpan{1, 3}})  // as two ranks would share the work
          optimizer->update({gradient, nullptr, scale}, span, step, 1e-2);
        CHECK(store.version() != version);
        const auto corrected = [&](double beta) {
          return static_cast<float>(1 / (1 - std::pow(beta, step + 1)));
        };
        const Doubles scaled = wide(g);
        if (options.kind == "adamw")
          reference::adamw(w.data(), m.data(), v.data(), scaled, decays.data(),
                           {1e-2f, 0.9f, 0.999f, 1e-8f, 0.1f, corrected(0.9), corrected(0.999)});
        else
          reference::sgd(w.data(), m.data(), scaled, decays.data(), 1e-2, 0.9, 0.1);
        reference::average(mean.data(), w.data(), n, std::min(0.5, (step + 1.0) / (step + 11.0)));
      }
      CHECK(error(bench.out(store.arena(), n), w) < 2e-6);
      CHECK(error(bench.out(optimizer->evaluation_weights(), n), mean) < 2e-6);
    }
}

TEST_CASE("an update aside gives the bits of an update in place") {
  for (const auto& backend : backends())
    for (const char* kind : {"adamw", "sgd"}) {
      OptimizerOptions options;
      options.kind = kind;
      options.average_decay = 0.9;
      constexpr std::int64_t kBlocks = 37, kFirst = 3;  // more than two pieces, the last one short
      ParameterStore stores[2];
      std::vector<Floats> results[2];
      Bench bench(*backend);
      const Gradients gradients(kBlocks, true, 9);
      for (const bool aside : {false, true}) {
        ParameterStore& store = stores[aside];
        store.add("weight", {kBlocks, kBlock}, {0.5, 0.25}, true);
        store.allocate(*backend, 5);
        const auto optimizer = make_optimizer(options, *backend, store);
        for (int step = 0; step < 5; ++step)
          optimizer->update(gradients.on(bench), {kFirst, kBlocks}, step, 1e-2, aside);
        results[aside].push_back(bench.out(store.arena(), store.values()));
        for (const real* arena : optimizer->arenas())
          results[aside].push_back(bench.out(arena, store.values()));
      }
      CHECK(results[0] == results[1]);
    }
}
