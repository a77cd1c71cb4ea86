// The tail of a step: the small numbers that every rank contributes to and all then know. It is the step's
// control word: nothing is applied before all ranks have joined it.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "rondo/comm/transport.hpp"

namespace rondo {

class Tail {
 public:
  /// `maxima`: words of the exchange's own, of which all ranks get the greatest.
  Tail(std::size_t maxima, std::size_t micro_batches) : maxima_(maxima + 2), losses_(2 * micro_batches) {}

  std::span<std::uint32_t> maxima() { return std::span(maxima_).first(maxima_.size() - 2); }
  void clear() { std::ranges::fill(maxima_, 0u); }
  /// Adds losses (a double is two words; all ranks but one add zeros, so the sum is its bits), this rank's
  /// request and its fault, 0 for none (of each the greatest wins), then combines all.
  void combine(Transport& transport, std::span<const double> losses, std::uint32_t request,
               std::uint32_t fault);
  std::vector<double> losses() const;
  std::uint32_t request() const { return maxima_[maxima_.size() - 2]; }
  std::uint32_t fault() const { return maxima_.back(); }

 private:
  std::vector<std::uint32_t> maxima_, losses_;
};

}  // namespace rondo
