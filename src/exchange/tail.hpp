// The tail of a step: the small numbers that every rank contributes to and all then know.
#pragma once

#include <span>
#include <vector>

#include "rondo/comm/transport.hpp"

namespace rondo {

class Tail {
 public:
  /// `maxima` and `sums`: words of the exchange's own; losses and requests come on top.
  Tail(std::size_t maxima, std::size_t sums, std::size_t micro_batches)
      : own_maxima_(maxima), own_sums_(sums), maxima_(maxima + 1), sums_(sums + 2 * micro_batches) {}

  std::span<std::uint32_t> maxima() { return std::span(maxima_).first(own_maxima_); }
  std::span<std::uint32_t> sums() { return std::span(sums_).first(own_sums_); }
  void clear();
  /// Adds losses (a double is two words; all ranks but one add zeros, so the sum is its bits) and this rank's
  /// request (the greatest wins), then combines all.
  void combine(Transport& transport, std::span<const double> losses, std::uint32_t request);
  std::vector<double> losses() const;
  std::uint32_t request() const { return maxima_.back(); }

 private:
  std::size_t own_maxima_, own_sums_;
  std::vector<std::uint32_t> maxima_, sums_;
};

}  // namespace rondo
