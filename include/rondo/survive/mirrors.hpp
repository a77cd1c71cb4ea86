/// Where the ranks have a state that is shared out among them, so that the death of a rank loses nothing.
///
/// Slice r belongs to rank r. Each rank mirrors the slice of one other, on another host wherever that is
/// possible: it makes the same updates. Where the number of ranks allows, two ranks mirror each other: then
/// the fewest pairs of deaths take both copies of a slice.
#pragma once

#include <vector>

#include "rondo/survive/roster.hpp"

namespace rondo {

class Mirrors {
 public:
  /// A slice for each of these ranks, two ranks or more; a function of their seats and hosts.
  explicit Mirrors(const Roster& ranks);

  /// The slice that a rank has besides its own.
  int mirrored(int rank) const { return ranks_[static_cast<std::size_t>(rank)].mirrored; }

  /// [slice] which of `left` has it: its owner, or else its mirror. Error, the same on every rank, if both
  /// are gone: it names them and says what to do.
  std::vector<int> holders(const Roster& left) const;

 private:
  struct Rank {
    int seat, mirrored;
  };
  std::vector<Rank> ranks_;
};

}  // namespace rondo
