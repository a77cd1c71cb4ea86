// What the comparisons of backends with the reference share: every backend that is usable here, its memory,
// and the same numbers in double precision.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>
#include <vector>

#include "reference_ops.hpp"
#include "rondo/core/error.hpp"
#include "rondo/device/backend.hpp"

namespace rondo::parity {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;
using reference::Mat;

/// Uniform numbers in [low, high).
inline Floats draw(std::int64_t n, std::uint32_t seed, float low = -1, float high = 1) {
  const RandomStream stream{seed, Purpose::test, 1, 0};
  Floats values(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = low + (high - low) * stream.uniform(i);
  return values;
}

inline Doubles wide(const Floats& values) { return {values.begin(), values.end()}; }
inline Mat mat(Doubles& values, std::int64_t rows, std::int64_t cols) { return {values.data(), rows, cols}; }
inline Doubles zeros(std::int64_t n) { return Doubles(static_cast<std::size_t>(n)); }

/// The largest |got - want| / max(|want|, floor); infinite where only one of the two is finite.
inline double error(const Floats& got, const Doubles& want, double floor = 1) {
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  if (got.size() != want.size()) return kInfinite;
  double worst = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double off = std::fabs(static_cast<double>(got[i]) - want[i]);
    if (!(off < kInfinite)) return kInfinite;
    worst = std::max(worst, off / std::max(std::fabs(want[i]), floor));
  }
  return worst;
}

/// Is every number the reference's, rounded to float?
inline bool same(const Floats& got, const Doubles& want) {
  return std::equal(got.begin(), got.end(), want.begin(), want.end(),
                    [](float a, double b) { return a == static_cast<float>(b); });
}

/// Memory of a backend, kept until the end of a comparison.
class Bench {
 public:
  explicit Bench(Backend& backend) : backend_(backend) {}
  Backend* operator->() { return &backend_; }

  template <class T>
  T* in(const std::vector<T>& values) {
    buffers_.push_back(backend_.allocate(values.size() * sizeof(T)));
    backend_.copy_in(buffers_.back()->data(), values.data(), values.size() * sizeof(T));
    return static_cast<T*>(buffers_.back()->data());
  }
  template <class T>
  std::vector<T> out(const T* device, std::int64_t n) {
    std::vector<T> values(static_cast<std::size_t>(n));
    backend_.copy_out(values.data(), device, values.size() * sizeof(T));
    return values;
  }
  Matrix in(const Floats& values, std::int64_t rows, std::int64_t cols) { return {in(values), rows, cols}; }
  Floats out(Matrix m) { return out(m.data, m.size()); }
  /// A result's place, full of NaN: what an operation does not write shows.
  Matrix empty(std::int64_t rows, std::int64_t cols) {
    return in(Floats(static_cast<std::size_t>(rows * cols), std::nanf("")), rows, cols);
  }

 private:
  Backend& backend_;
  std::vector<std::unique_ptr<Buffer>> buffers_;
};

/// All backends that can be used on this machine, the CPU's with one and with two threads. Where
/// RONDO_NEEDS_CUDA is set, a card must be among them: a suite that left it out would pass all the same.
inline const std::vector<std::unique_ptr<Backend>>& backends() {
  static const auto all = [] {
    std::vector<std::unique_ptr<Backend>> made;
    RONDO_CHECK(std::getenv("RONDO_NEEDS_CUDA") == nullptr || why_not("cuda").empty(), "no card to test: {}",
                why_not("cuda"));
    for (DeviceOptions options : {DeviceOptions{"cpu", 1}, DeviceOptions{"cpu", 2}, DeviceOptions{"cuda", 1}})
      if (why_not(options.kind).empty()) made.push_back(make_backend(options));
    return made;
  }();
  return all;
}

struct Shape {
  std::int64_t rows, cols;
  std::int64_t size() const { return rows * cols; }
};
// No rows, one, many; widths of every remainder by 4; more columns than a warp's row or a block has; rows
// that fill part of a column sum's chunk, and so many that a chunk's loop is unrolled twice.
inline constexpr Shape kShapes[] = {{0, 5},     {1, 1},     {7, 13},    {3, 64},   {33, 17},
                                    {2, 4099},  {21, 6},    {1, 1031},  {5, 2048}, {131, 36},
                                    {3, 389},   {4103, 3},  {9, 200},   {35, 480}, {34, 1000},
                                    {40, 1028}, {16500, 1}, {16500, 4}, {5, 103},  {2, 4000}};
/// How much more rounding a sum over `rows` may show than one over a few: partial sums of random numbers grow
/// with the root of their number, and so does the walk of their roundings.
inline double slack(std::int64_t rows) { return std::max(1.0, static_cast<double>(rows) / 33); }

}  // namespace rondo::parity
