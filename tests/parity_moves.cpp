// Parity of operations that move, look up or compare: columns, tables, taps, losses, memory.
#include <bit>

#include "catch.hpp"
#include "parity_bench.hpp"
#include "rondo/core/error.hpp"

using namespace rondo;
using namespace rondo::parity;

TEST_CASE("memory comes zeroed and aligned, and copies go both ways") {
  for (const auto& backend : backends())
    for (const std::size_t bytes : {std::size_t{0}, std::size_t{4}, std::size_t{4100}}) {
      const auto buffer = backend->allocate(bytes);
      CHECK(reinterpret_cast<std::uintptr_t>(buffer->data()) % 64 == 0);
      REQUIRE(buffer->bytes() >= bytes);
      std::vector<std::uint8_t> host(bytes, 7);
      backend->copy_out(host.data(), buffer->data(), bytes);
      CHECK(host == std::vector<std::uint8_t>(bytes, 0));
      const Floats values = draw(static_cast<std::int64_t>(bytes / 4), 1);
      Floats back(values.size());
      backend->copy_in(buffer->data(), values.data(), bytes);
      backend->copy_out(back.data(), buffer->data(), bytes);
      CHECK(back == values);
      const auto other = backend->allocate(bytes);
      backend->copy(other->data(), buffer->data(), bytes);
      backend->copy_out(back.data(), other->data(), bytes);
      CHECK(back == values);
    }
}

TEST_CASE("what was uploaded is found by what is queued next, whatever is in work meanwhile") {
  for (const auto& backend : backends()) {
    std::pmr::vector<float> host(1000, 0, &backend->host_memory());
    const auto device = backend->allocate(4000), result = backend->allocate(4000),
               busy = backend->allocate(40000);
    for (int i = 0; i < 5; ++i) {
      std::ranges::fill(host, static_cast<float>(i + 1));
      for (int j = 0; j < 20; ++j) backend->clear(busy->data(), 40000);
      backend->upload(device->data(), host.data(), 4000);
      backend->await_uploads();
      backend->copy(result->data(), device->data(), 4000);
      backend->finish_uploads();
      std::ranges::fill(host, -1.0f);
      Floats back(1000);
      backend->copy_out(back.data(), result->data(), 4000);
      CHECK(back == Floats(1000, static_cast<float>(i + 1)));
    }
  }
}

TEST_CASE("bfloat16 is the nearest to every number, ties to even, and keeps a NaN") {
  for (const auto& backend : backends())
    for (const std::int64_t n : {0, 1, 19, 1027, 4096}) {
      Floats values = draw(n, 1);
      const Floats special = {0.0f,     -0.0f,       1e-45f,      INFINITY,       -INFINITY,       3.4e38f,
                              -3.4e38f, 1.00390625f, 1.01171875f, std::nanf("1"), -std::nanf("77")};
      for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = i % 3 == 1 ? special[i / 3 % special.size()]
                               : std::ldexp(values[i], static_cast<int>(i % 250) - 130);
      Bench bench(*backend);
      std::uint16_t* half = bench.in(std::vector<std::uint16_t>(values.size(), 7));
      bench->to_half(half, bench.in(values), n, Precision::bfloat16);
      std::vector<std::uint16_t> want;
      for (const float x : values) want.push_back(reference::to_bfloat16(x));
      CHECK(bench.out(half, n) == want);
    }
}

TEST_CASE(
    "float16 is the nearest to every number, ties to even; too large is infinite, and a NaN stays one") {
  for (const auto& backend : backends()) {
    if (!backend->why_not(Precision::float16).empty()) continue;
    for (const std::int64_t n : {0, 1, 19, 1027, 4096}) {
      Floats values = draw(n, 1);
      const Floats special = {0.0f,     -0.0f,           1e-45f,          INFINITY, -INFINITY,
                              65504.0f, 65519.9f,        -65520.0f,       0x1p-24f, 0x1p-25f,
                              0x3p-26f, 1.0f + 0x1p-11f, 1.0f + 0x3p-11f, 0x1p-14f, std::nanf("1")};
      for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = i % 3 == 1 ? special[i / 3 % special.size()]
                               : std::ldexp(values[i], static_cast<int>(i % 50) - 30);
      Bench bench(*backend);
      std::uint16_t* half = bench.in(std::vector<std::uint16_t>(values.size(), 7));
      bench->to_half(half, bench.in(values), n, Precision::float16);
      const std::vector<std::uint16_t> got = bench.out(half, n);
      for (std::size_t i = 0; i < values.size(); ++i) {
        CAPTURE(values[i], got[i]);
        if (std::isnan(values[i]))
          CHECK(std::isnan(reference::from_float16(got[i])));
        else
          CHECK(got[i] == reference::to_float16(values[i]));
      }
    }
  }
}

TEST_CASE("element-wise products, sums, scaling and averages") {
  for (const auto& backend : backends())
    for (const Shape s : kShapes) {
      const Floats a = draw(s.size(), 1), b = draw(s.size(), 2);
      Bench bench(*backend);
      const Matrix product = bench.in(a, s.rows, s.cols), sum = bench.in(a, s.rows, s.cols);
      const Matrix scaled = bench.in(a, s.rows, s.cols), mean = bench.in(a, s.rows, s.cols);
      bench->multiply(product, bench.in(b));
      bench->add(sum, bench.in(b));
      bench->scale(scaled, 1.7f);
      bench->average(mean.data, bench.in(b), s.size(), 0.75f);
      Doubles want_product = wide(a), want_sum = wide(a), want_scaled = wide(a), want_mean = wide(a);
      for (std::size_t i = 0; i < a.size(); ++i) {
        want_product[i] *= static_cast<double>(b[i]);
        want_sum[i] += static_cast<double>(b[i]);
        want_scaled[i] *= static_cast<double>(1.7f);
        want_mean[i] = 0.75 * want_mean[i] + 0.25 * static_cast<double>(b[i]);
      }
      CHECK(same(bench.out(product), want_product));
      CHECK(same(bench.out(sum), want_sum));
      CHECK(same(bench.out(scaled), want_scaled));
      CHECK(error(bench.out(mean), want_mean) < 2e-7);
    }
}

TEST_CASE("columns are copied in and out, and the others stay") {
  for (const auto& backend : backends())
    for (const Shape s : kShapes)
      for (const std::int64_t at : {3, 4})
        for (const bool gather : {false, true}) {
          const std::int64_t cols = s.cols + 8;
          const Floats narrow = draw(s.size(), 3), big = draw(s.rows * cols, 4);
          Bench bench(*backend);
          const Matrix w = bench.in(big, s.rows, cols), n = bench.in(narrow, s.rows, s.cols);
          bench->copy_columns(w, at, n, gather);
          Doubles want_big = wide(big), want_narrow = wide(narrow);
          reference::copy_columns(mat(want_big, s.rows, cols), at, mat(want_narrow, s.rows, s.cols), gather);
          CHECK(same(bench.out(w), want_big));
          CHECK(same(bench.out(n), want_narrow));
        }
}

TEST_CASE("embeddings look up rows, add gradients of equal ids, and refuse ids outside the table") {
  constexpr std::int64_t kRows = 11;
  for (const auto& backend : backends())
    for (const std::int64_t dim : {1, 7, 64})
      for (const Shape s :
           {Shape{0, 2}, Shape{1, 1}, Shape{29, 3}, Shape{700, 3}})  // 2,100 ids: more than a sort's tile
        for (const bool accumulate : {false, true}) {
          Floats ids = draw(s.size(), 5, 0, static_cast<float>(kRows));
          for (float& id : ids) id = std::floor(id);
          const Floats table = draw(kRows * dim, 6), dy = draw(s.size() * dim, 7);
          Bench bench(*backend);
          const Matrix device_ids = bench.in(ids, s.rows, s.cols), device_table = bench.in(table, kRows, dim);
          const Matrix y = bench.empty(s.rows, s.cols * dim);
          bench->embedding(device_ids, device_table, y);
          Doubles rids = wide(ids), rtable = wide(table), ry = zeros(s.size() * dim), rdy = wide(dy);
          reference::embedding(mat(rids, s.rows, s.cols), mat(rtable, kRows, dim),
                               mat(ry, s.rows, s.cols * dim));
          CHECK(same(bench.out(y), ry));
          bench->embedding_backward(device_ids, bench.in(dy, s.rows, s.cols * dim), device_table, accumulate);
          reference::embedding_backward(mat(rids, s.rows, s.cols), mat(rdy, s.rows, s.cols * dim),
                                        mat(rtable, kRows, dim), accumulate);
          CHECK(error(bench.out(device_table), rtable) < 5e-7 * slack(s.size()));
          bench->check_ids();
        }
}

TEST_CASE("an id outside a table is an error once ids are checked, and forgotten then") {
  constexpr std::int64_t kRows = 11;
  for (const auto& backend : backends())
    for (const std::int64_t dim : {7, 64})
      for (const float wrong : {-1.0f, static_cast<float>(kRows), 1e30f, std::nanf("")}) {
        Bench bench(*backend);
        const auto look_up = [&](const Floats& ids, std::int64_t rows) {
          const auto n = static_cast<std::int64_t>(ids.size());
          bench->embedding(bench.in(ids, n, 1), bench.empty(rows, dim), bench.empty(n, dim));
        };
        std::string message;
        try {
          look_up({3, 10}, kRows);
          look_up({1, wrong, 2}, kRows);  // the first call with a wrong id is the one that is named
          look_up({100}, 50);
          bench->check_ids();
        } catch (const Error& e) {
          message = e.what();
        }
        CHECK(message.find("is outside 0..10") != std::string::npos);
        look_up({3, 10}, kRows);
        CHECK_NOTHROW(bench->check_ids());
      }
}

TEST_CASE("where wrong ids are noticed late, a backward before that leaves them out") {
  constexpr std::int64_t kRows = 11;
  for (const auto& backend : backends()) {
    if (backend->reads_host_memory()) continue;
    for (const std::int64_t dim : {7, 64}) {
      const Floats ids = {3, -1, 3, 11, std::nanf(""), 1e30f, 0};
      const auto n = static_cast<std::int64_t>(ids.size());
      Bench bench(*backend);
      const Matrix table = bench.empty(kRows, dim);
      bench->embedding_backward(bench.in(ids, n, 1), bench.in(Floats(ids.size() * 64, 1), n, dim), table,
                                false);
      const Floats got = bench.out(table);
      for (std::size_t i = 0; i < got.size(); ++i)
        CHECK(got[i] == (i / static_cast<std::size_t>(dim) == 3 ? 2
                         : i < static_cast<std::size_t>(dim)    ? 1
                                                                : 0));
    }
  }
}

TEST_CASE("taps are gathered from the past and scattered back") {
  for (const auto& backend : backends())
    for (const ConvShape s :
         {ConvShape{0, 4, 3, 2, 1}, ConvShape{1, 1, 1, 1, 1}, ConvShape{3, 7, 5, 3, 2},
          ConvShape{2, 13, 17, 4, 5}, ConvShape{2, 6, 3, 3, 100}, ConvShape{2, 9, 8, 3, 2}}) {
      const std::int64_t rows = s.batch * s.time, cols = s.channels * s.taps;
      const Floats x = draw(rows * s.channels, 8), dtaps = draw(rows * cols, 9);
      Bench bench(*backend);
      const Matrix taps = bench.empty(rows, cols), dx = bench.empty(rows, s.channels);
      bench->gather_taps(bench.in(x, rows, s.channels), s, taps);
      bench->scatter_taps(bench.in(dtaps, rows, cols), s, dx);
      Doubles rx = wide(x), rtaps = zeros(rows * cols), rdtaps = wide(dtaps), rdx = zeros(rows * s.channels);
      reference::gather_taps(mat(rx, rows, s.channels), s, mat(rtaps, rows, cols));
      reference::scatter_taps(mat(rdtaps, rows, cols), s, mat(rdx, rows, s.channels));
      CHECK(same(bench.out(taps), rtaps));
      CHECK(error(bench.out(dx), rdx) < 5e-7);
    }
}

TEST_CASE("losses and their gradients") {
  const Doubles quantiles = {0.05, 0.5, 0.9};
  for (const auto& backend : backends())
    for (const Shape s : kShapes)
      for (const float size : {1e-12f, 1.0f, 1e12f}) {
        Floats prediction = draw(3 * s.size(), 10, -size, size);
        const Floats target = draw(s.size(), 11, -size, size);
        if (s.size() > 1) prediction[4] = target[1];  // where the slope jumps
        Floats weights = draw(s.size(), 12, 0, 2);
        for (std::size_t i = 0; i < weights.size(); i += 3) weights[i] = 0;
        Bench bench(*backend);
        const Matrix t = bench.in(target, s.rows, s.cols), w = bench.in(weights, s.rows, s.cols);
        const Floats first(prediction.begin(), prediction.begin() + s.size());
        const Matrix squared = bench.empty(s.rows, s.cols), pinball = bench.empty(s.rows, 3 * s.cols);
        Doubles losses = zeros(s.rows), pinball_losses = losses, want = losses, pinball_want = losses;
        double *row_losses = bench.in(losses), *pinball_row_losses = bench.in(losses);
        bench->squared_loss(bench.in(first, s.rows, s.cols), t, w, 0.3f, row_losses, squared);
        bench->pinball_loss(bench.in(prediction, s.rows, 3 * s.cols), t, w, quantiles, 0.3f,
                            pinball_row_losses, pinball);
        losses = bench.out(row_losses, s.rows);
        pinball_losses = bench.out(pinball_row_losses, s.rows);

        Doubles rp = wide(prediction), rfirst = wide(first), rt = wide(target), rw = wide(weights);
        Doubles rsquared = zeros(s.size()), rpinball = zeros(3 * s.size());
        const double scale = static_cast<double>(0.3f);
        reference::squared_loss(mat(rfirst, s.rows, s.cols), mat(rt, s.rows, s.cols), mat(rw, s.rows, s.cols),
                                scale, want.data(), mat(rsquared, s.rows, s.cols));
        reference::pinball_loss(mat(rp, s.rows, 3 * s.cols), mat(rt, s.rows, s.cols), mat(rw, s.rows, s.cols),
                                quantiles, scale, pinball_want.data(), mat(rpinball, s.rows, 3 * s.cols));
        for (std::size_t r = 0; r < losses.size(); ++r) {
          CHECK(losses[r] == Approx(want[r]).epsilon(1e-6));
          CHECK(pinball_losses[r] == Approx(pinball_want[r]).epsilon(1e-6));
        }
        CHECK(error(bench.out(squared), rsquared, static_cast<double>(size)) < 3e-7);
        CHECK(error(bench.out(pinball), rpinball, 0.01) < 1e-6);
      }
}
