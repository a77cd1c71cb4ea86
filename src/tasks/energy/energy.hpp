// Energy: day-ahead forecasts of a load (or any regular series) with quantiles 0.1, 0.5 and 0.9.
#pragma once

#include <array>
#include <memory>
#include <string>

#include "rondo/train/task.hpp"

namespace rondo {

std::unique_ptr<Task> make_energy_task();

namespace energy {

inline constexpr std::array<double, 3> kQuantiles = {0.1, 0.5, 0.9};

struct Options {
  std::int64_t horizon = 48, history = 336;  // rows ahead and back
  std::int64_t day = 48;                     // rows a day
  std::int64_t test_weeks = 8, validation_weeks = 8;
  std::vector<std::int64_t> future_stride, past_stride;  // one per known column; 1 where shorter
  std::string hinge_column;
  double hinge_below = 16, hinge_above = 20;
  std::string unit;
  void visit(Fields& fields);

  std::int64_t week() const { return 7 * day; }
  std::int64_t stride(const std::vector<std::int64_t>& strides, std::size_t column) const {
    return column < strides.size() ? strides[column] : 1;
  }
};

}  // namespace energy
}  // namespace rondo
