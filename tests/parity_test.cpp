// Every operation on matrices of every backend against the formulas in double precision.
#include <bit>

#include "catch.hpp"
#include "parity_bench.hpp"
#include "rondo/core/error.hpp"

using namespace rondo;
using namespace rondo::parity;

namespace {

constexpr Activation kActivations[] = {Activation::identity, Activation::relu, Activation::gelu,
                                       Activation::silu};
constexpr bool kBoth[] = {false, true};

struct Product {
  std::int64_t m, n, k;
};
constexpr Product kProducts[] = {{1, 1, 1},    {0, 5, 3},    {3, 5, 0},     {7, 13, 31}, {1, 127, 64},
                                 {61, 1, 257}, {64, 64, 64}, {33, 1021, 5}, {2, 3, 2053}};

Floats magnitudes(Floats values) {
  for (float& x : values) x = std::fabs(x);
  return values;
}

double rounded(float x, Precision half) {
  return half == Precision::bfloat16 ? reference::from_bfloat16(reference::to_bfloat16(x))
                                     : reference::from_float16(reference::to_float16(x));
}

/// Error of c (+)= op(a) op(b) as a share of the same product of magnitudes. Halves are rounded first, in the
/// reference too: what is left is the error of sums in float32.
double product_error(Backend& backend, Product p, bool ta, bool tb, bool accumulate, Precision precision) {
  const Shape a = ta ? Shape{p.k, p.m} : Shape{p.m, p.k}, b = tb ? Shape{p.n, p.k} : Shape{p.k, p.n};
  Floats va = draw(a.size(), 1), vb = draw(b.size(), 2);
  const Floats vc = draw(p.m * p.n, 3);
  Bench bench(backend);
  const Matrix da = bench.in(va, a.rows, a.cols), db = bench.in(vb, b.rows, b.cols);
  const Matrix c = accumulate ? bench.in(vc, p.m, p.n) : bench.empty(p.m, p.n);
  if (is_half(precision)) {
    auto* ha = bench.in(std::vector<std::uint16_t>(va.size()));
    auto* hb = bench.in(std::vector<std::uint16_t>(vb.size()));
    backend.to_half(ha, da.data, a.size(), precision);
    backend.to_half(hb, db.data, b.size(), precision);
    for (Floats* values : {&va, &vb})
      for (float& x : *values) x = static_cast<float>(rounded(x, precision));
    backend.matmul({ha, a.rows, a.cols, precision}, ta, {hb, b.rows, b.cols, precision}, tb, c, accumulate);
  } else {
    backend.matmul({da, precision}, ta, {db, precision}, tb, c, accumulate);
  }
  Doubles ra = wide(va), rb = wide(vb), rc = wide(vc);
  reference::matmul(mat(ra, a.rows, a.cols), ta, mat(rb, b.rows, b.cols), tb, mat(rc, p.m, p.n), accumulate);
  Doubles sa = wide(magnitudes(va)), sb = wide(magnitudes(vb)), sc = wide(magnitudes(vc));
  reference::matmul(mat(sa, a.rows, a.cols), ta, mat(sb, b.rows, b.cols), tb, mat(sc, p.m, p.n), accumulate);
  const Floats got = bench.out(c);
  double worst = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double off = std::fabs(static_cast<double>(got[i]) - rc[i]) / std::max(sc[i], 1e-30);
    worst = off <= 1e300 ? std::max(worst, off) : 1e300;
  }
  return worst;
}

constexpr Precision kPrecisions[] = {Precision::float32, Precision::tf32, Precision::bfloat16,
                                     Precision::float16};

}  // namespace

TEST_CASE("matrix products, transposed and accumulated, of every precision that a backend has") {
  for (const auto& backend : backends())
    for (const Precision precision : kPrecisions) {
      if (!backend->why_not(precision).empty()) continue;
      const double limit = precision == Precision::tf32 ? 2e-3 : 5e-7;  // a card may cut tf32's operands off
      for (const Product p : kProducts)
        for (const bool ta : kBoth)
          for (const bool tb : kBoth)
            for (const bool accumulate : kBoth) {
              const double off = product_error(*backend, p, ta, tb, accumulate, precision);
              CAPTURE(p.m, p.n, p.k, ta, tb, accumulate, static_cast<int>(precision));
              CHECK(off < limit);
            }
    }
}

// Large enough for panels by rows and by columns, the last of which is narrower; sides of 2560 and 3328 also
// make rows that the cpu backend may spread before it packs them.
TEST_CASE("a large product on CPU cores is as exact, and leaves time for something else meanwhile") {
  for (const auto& backend : backends())
    for (const Product p :
         {Product{1500, 411, 512}, Product{300, 2111, 512}, Product{2560, 411, 512}, Product{300, 3328, 512}})
      for (const bool ta : kBoth)
        for (const bool accumulate : kBoth) {
          if (backend->name() != "cpu") continue;
          const Shape a = ta ? Shape{p.k, p.m} : Shape{p.m, p.k};
          const Floats va = draw(a.size(), 1), vb = draw(p.k * p.n, 2), vc = draw(p.m * p.n, 3);
          Bench bench(*backend);
          const Matrix c = bench.in(vc, p.m, p.n);
          int calls = 0;
          std::vector<Floats> parts;  // the rows that were said to be complete
          backend->meanwhile([&] { ++calls; });
          backend->matmul(bench.in(va, a.rows, a.cols), ta, bench.in(vb, p.k, p.n), false, c, accumulate,
                          [&](std::int64_t rows) {
                            parts.push_back(bench.out({c.data, rows, c.cols}));
                          });
          backend->meanwhile({});
          CHECK(calls > 0);
          const Floats got = bench.out(c);
          for (const Floats& part : parts)
            CHECK((part.size() < got.size() && std::equal(part.begin(), part.end(), got.begin())));
          CHECK((p.m < p.n || (!parts.empty() && parts.front().size() > 0)));
          double worst = 0;  // as product_error() has it, of some elements
          for (std::int64_t at = 0; at < p.m * p.n; at += 97) {
            const std::int64_t row = at / p.n, col = at % p.n;
            double want = accumulate ? vc[static_cast<std::size_t>(at)] : 0, size = std::fabs(want);
            for (std::int64_t i = 0; i < p.k; ++i) {
              const double x = va[static_cast<std::size_t>(ta ? i * p.m + row : row * p.k + i)];
              const double y = vb[static_cast<std::size_t>(i * p.n + col)];
              want += x * y, size += std::fabs(x * y);
            }
            worst = std::max(worst, std::fabs(got[static_cast<std::size_t>(at)] - want) / size);
          }
          CAPTURE(p.m, p.n, ta, accumulate);
          CHECK(worst < 5e-7);
        }
}

TEST_CASE("bias and activation with their slopes, in the usual range and far out") {
  for (const auto& backend : backends())
    for (const Activation act : kActivations)
      for (const bool keeps : kBoth)
        for (const Shape s : kShapes) {
          Floats z = draw(s.size(), 4, -9, 9);
          const Floats far = {0,   -0.0f, 1e-38f, -1e-38f, 1e-45f, -13.5f, 13.5f,
                              -87, 87,    -88.5f, 88.5f,   -1e4f,  1e4f,   1e20f};
          if (s.size() >= 64) std::copy(far.begin(), far.end(), z.begin());
          const Floats bias = s.cols == 64 ? Floats(64) : draw(s.cols, 5);
          Bench bench(*backend);
          const Matrix y = bench.in(z, s.rows, s.cols), slope = bench.empty(s.rows, s.cols);
          bench->bias_activation(y, bench.in(bias), act, keeps ? slope.data : nullptr);
          Doubles want(z.size()), want_slope(z.size());
          for (std::size_t i = 0; i < z.size(); ++i) {  // the sum is the CPU's: it is rounded to float
            const auto v = reference::activate(act, static_cast<double>(z[i] + bias[i % bias.size()]));
            want[i] = v.value, want_slope[i] = v.slope;
          }
          CAPTURE(static_cast<int>(act), s.rows, s.cols);
          CHECK(error(bench.out(y), want) < 4e-7);
          if (keeps) CHECK(error(bench.out(slope), want_slope) < 4e-7);
        }
}

TEST_CASE("no activation hides a NaN") {
  for (const auto& backend : backends())
    for (const Activation act : kActivations) {
      Bench bench(*backend);
      const Matrix y = bench.empty(1, 37);
      bench->bias_activation(y, bench.in(Floats(37)), act, nullptr);
      for (const float x : bench.out(y)) CHECK(std::isnan(x));
    }
}

TEST_CASE("the backward of activations and biases") {
  for (const auto& backend : backends())
    for (const bool has_slope : kBoth)
      for (const bool accumulate : kBoth)
        for (const Shape s : kShapes) {
          const Floats dy = draw(s.size(), 6), slope = draw(s.size(), 7), before = draw(s.cols, 8);
          Bench bench(*backend);
          const Matrix d = bench.in(dy, s.rows, s.cols);
          float* grad = accumulate ? bench.in(before) : bench.empty(1, s.cols).data;
          bench->activation_backward(d, has_slope ? bench.in(slope) : nullptr, grad, accumulate);
          Doubles want = wide(dy), rslope = wide(slope), rgrad = wide(before);
          reference::activation_backward(mat(want, s.rows, s.cols), has_slope ? rslope.data() : nullptr,
                                         rgrad.data(), accumulate);
          CHECK(same(bench.out(d), want));
          CHECK(error(bench.out(grad, s.cols), rgrad) < 2e-6 * slack(s.rows));
        }
}

TEST_CASE("layer normalisation and its backward, of tiny, huge, constant and far-off rows, or of a sum") {
  for (const auto& backend : backends())
    for (const bool accumulate : kBoth)  // in the same go as without and with a residual
      for (const Shape s : kShapes) {
        Floats x = draw(s.size(), 9);
        const float scales[] = {1, 1e-15f, 1e15f, 0, 30}, offsets[] = {0, 0, 0, 3.25f, 1000};
        for (std::size_t i = 0; i < x.size(); ++i) {
          const std::size_t kind = i / static_cast<std::size_t>(s.cols) % 5;
          x[i] = scales[kind] * x[i] + offsets[kind];
        }
        const Floats gain = draw(s.cols, 10), bias = draw(s.cols, 11), dy = draw(s.size(), 12);
        Bench bench(*backend);
        const Matrix y = bench.empty(s.rows, s.cols), z = bench.empty(s.rows, s.cols);
        const Matrix rstd = bench.empty(s.rows, 1), dx = bench.empty(s.rows, s.cols);
        const float* device_gain = bench.in(gain);
        const Floats residual = draw(s.size(), 15);
        bench->layer_norm(bench.in(x, s.rows, s.cols), accumulate ? bench.in(residual) : nullptr, device_gain,
                          bench.in(bias), y, z, rstd.data);
        for (std::size_t i = 0; accumulate && i < x.size(); ++i) x[i] += residual[i];  // rounded to float
        Doubles rx = wide(x), rgain = wide(gain), rbias = wide(bias), ry = zeros(s.size()), rz = ry, rdx = ry;
        Doubles rrstd = zeros(s.rows), rdy = wide(dy);
        reference::layer_norm(mat(rx, s.rows, s.cols), rgain.data(), rbias.data(), mat(ry, s.rows, s.cols),
                              mat(rz, s.rows, s.cols), rrstd.data());
        // The mean is rounded to float: a row far from 0 loses what that is in units of its own spread.
        double lost = 1;
        for (std::size_t i = 0; i < x.size(); ++i)
          lost = std::max(lost, std::fabs(rx[i]) * rrstd[i / static_cast<std::size_t>(s.cols)]);
        CHECK(error(bench.out(rstd), rrstd, 1e-30) < 3e-6);
        CHECK(error(bench.out(z), rz) < 5e-7 * lost);
        CHECK(error(bench.out(y), ry) < 5e-7 * lost);

        const Floats before = draw(2 * s.cols, 13);
        const Floats before_gain(before.begin(), before.begin() + s.cols);
        const Floats before_bias(before.begin() + s.cols, before.end());
        float* dgain = bench.in(before_gain);
        float* dbias = bench.in(before_bias);
        bench->layer_norm_backward(bench.in(dy, s.rows, s.cols), z, rstd.data, device_gain, dx, dgain, dbias,
                                   accumulate);
        // Backward is compared on the same normalised values.
        rz = wide(bench.out(z)), rrstd = wide(bench.out(rstd));
        Doubles rdgain = wide(before_gain), rdbias = wide(before_bias);
        reference::layer_norm_backward(mat(rdy, s.rows, s.cols), mat(rz, s.rows, s.cols), rrstd.data(),
                                       rgain.data(), mat(rdx, s.rows, s.cols), rdgain.data(), rdbias.data(),
                                       accumulate);
        const Floats got = bench.out(dx);
        for (std::int64_t r = 0; r < s.rows; ++r) {
          const auto row = [&](auto& v) { return v.begin() + r * s.cols; };
          const double scale = rrstd[static_cast<std::size_t>(r)];
          CHECK(error(Floats(row(got), row(got) + s.cols), Doubles(row(rdx), row(rdx) + s.cols), scale) <
                5e-7);
        }
        CHECK(error(bench.out(dgain, s.cols), rdgain) < 3e-6 * slack(s.rows));
        CHECK(error(bench.out(dbias, s.cols), rdbias) < 2e-6 * slack(s.rows));
      }
}

TEST_CASE("dropout draws the numbers of its stream, in place or not") {
  for (const auto& backend : backends())
    for (const Shape s : kShapes)
      for (const float p : {0.0f, 0.1f, 0.5f, 0.99f})
        for (const bool in_place : kBoth) {
          const RandomStream stream{0x123456789abcdefull, Purpose::dropout, 17, 3};
          const std::int64_t first = s.cols == 13 ? std::int64_t{1} << 33 : 5;
          const Floats x = draw(s.size(), 14);
          Bench bench(*backend);
          const Matrix from = bench.in(x, s.rows, s.cols), mask = bench.empty(s.rows, s.cols);
          const Matrix to = in_place ? from : bench.empty(s.rows, s.cols);
          bench->dropout(from, to, mask.data, p, stream, first);
          Doubles want = zeros(s.size());
          reference::dropout_mask(mat(want, s.rows, s.cols), static_cast<double>(p), stream, first);
          const Floats got = bench.out(mask);
          CHECK(error(got, want, 1) < 1e-7);
          Doubles product = wide(x);
          for (std::size_t i = 0; i < product.size(); ++i) product[i] *= static_cast<double>(got[i]);
          CHECK(same(bench.out(to), product));
        }
}
