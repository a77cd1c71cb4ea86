// The sum of squares of every block of the summed gradients, on every rank, also where each has a part of
// them.
#pragma once

#include <span>
#include <vector>

#include "rondo/device/array.hpp"
#include "rondo/device/backend.hpp"
#include "rondo/exchange/exchange.hpp"

namespace rondo {

class BlockSquares {
 public:
  BlockSquares(Backend& backend, std::size_t blocks) : backend_(backend), squares_(backend, blocks) {}

  /// Every rank has all sums.
  std::vector<double> of(GradientView gradient);
  /// Each rank has the sums of its slice of each of these ranges; none: every rank has all. Collective.
  std::vector<double> of(GradientView gradient, std::span<const WordRange> ranges, const Communicator& comm,
                         Transport& transport);

 private:
  Backend& backend_;
  DeviceArray<double> squares_;
};

}  // namespace rondo
