// Whoever sums in an order that depends on chance gives other bits the second time.
#include "catch.hpp"
#include "parity_bench.hpp"

using namespace rondo;
using namespace rondo::parity;

namespace {

/// All sums of one training step on a matrix of `s`, one after the other.
Floats sums(Backend& backend, Shape s) {
  Bench bench(backend);
  Floats all;
  const auto keep = [&all](const auto& values) {
    for (const auto x : values) all.push_back(static_cast<float>(x));
  };
  const Matrix x = bench.in(draw(s.size(), 1), s.rows, s.cols),
               y = bench.in(draw(s.size(), 2), s.rows, s.cols);
  const Matrix square = bench.empty(s.cols, s.cols), dx = bench.empty(s.rows, s.cols);
  backend.matmul(x, true, y, false, square, false);
  keep(bench.out(square));
  float *bias = bench.in(draw(s.cols, 3)), *gain = bench.in(draw(s.cols, 4));
  float* rstd = bench.in(draw(s.rows, 5, 1, 2));
  backend.layer_norm_backward(x, y, rstd, gain, dx, gain, bias, true);
  backend.activation_backward(dx, nullptr, bias, true);
  keep(bench.out(gain, s.cols));
  keep(bench.out(bias, s.cols));
  const Matrix table = bench.empty(3, s.cols);
  Floats ids = draw(s.rows, 6, 0, 3);
  for (float& id : ids) id = std::floor(id);
  backend.embedding_backward(bench.in(ids, s.rows, 1), dx, table, false);
  keep(bench.out(table));
  double *losses = bench.in(zeros(s.rows)), *squares = bench.in(zeros(2));
  backend.squared_loss(x, y, bench.in(draw(s.size(), 7, 0, 1), s.rows, s.cols), 1, losses, dx);
  keep(bench.out(losses, s.rows));
  backend.block_squares({bench.in(draw(2 * kBlock, 8)), nullptr, bench.in(Floats{1, 1})}, 2, squares);
  keep(bench.out(squares, 2));
  return all;
}

}  // namespace

TEST_CASE("the same again gives the same bits") {
  for (const auto& backend : backends())
    for (const Shape s : {Shape{1, 61}, Shape{67, 32}, Shape{500, 7}, Shape{9, 1100}}) {
      const Floats first = sums(*backend, s);
      for (int i = 0; i < 3; ++i) CHECK(sums(*backend, s) == first);
    }
}
