// The tail of a step: the small numbers that every rank contributes to and all then know. It is the step's
// control word: nothing is applied before all ranks have joined it. Where ranks may die it ends with a vote,
// so that all survivors have it, or none.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "rondo/exchange/exchange.hpp"

namespace rondo {

/// The bits of a float's magnitude, from here on, are of infinities and NaNs.
constexpr std::uint32_t kNotFinite = 0x7f800000;

class Tail {
 public:
  /// `maxima`: words of the exchange's own, of which all ranks get the greatest.
  Tail(std::size_t maxima, std::int64_t micro_batches, Communicator& comm)
      : comm_(comm),
        rank_(static_cast<std::size_t>(comm.rank())),
        micro_batches_(static_cast<std::size_t>(micro_batches)),
        own_(maxima),
        maxima_(maxima + 3),
        sums_(2 * micro_batches_ + static_cast<std::size_t>(comm.size())) {}

  std::span<std::uint32_t> maxima() { return std::span(maxima_).first(own_); }
  void clear() { std::ranges::fill(maxima_, 0u); }
  /// Adds this rank's report and its fault, 0 for none (the greatest wins, as of requests), then combines
  /// all.
  void combine(Transport& transport, const StepReport& mine, std::uint32_t fault);
  /// What all ranks reported. The verdict: not_finite where a loss is not, else still to be found.
  StepOutcome outcome() const;
  std::uint32_t fault() const { return maxima_[own_]; }

 private:
  Communicator& comm_;
  std::size_t rank_, micro_batches_, own_;
  // Sums: losses (a double is two words), then every rank's seconds. All ranks but one add zeros, so that
  // sums are the bits of what it gave. Maxima: the exchange's own, fault, request, length.
  std::vector<std::uint32_t> maxima_, sums_;
};

}  // namespace rondo
