#include "rondo/survive/mirrors.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <string>

#include "rondo/core/error.hpp"

namespace rondo {

// In a circle of all ranks, host by host, a shift by at least the largest host and at most the rest leads to
// another host; half the circle is one that leads back. A host that has more than half of the ranks comes
// first, and its others' slices go round within it.
Mirrors::Mirrors(const Roster& ranks) {
  const int size = ranks.size();
  std::map<std::string, int> of_host;  // ranks
  std::map<std::string, int> first;    // rank
  for (int rank = 0; rank < size; ++rank) {
    ranks_.push_back({ranks.seat(rank), rank});
    ++of_host[ranks.host(rank)];
    first.try_emplace(ranks.host(rank), rank);
  }
  std::vector<int> circle(ranks_.size());
  std::iota(circle.begin(), circle.end(), 0);
  std::ranges::stable_sort(
      circle, {}, [&](int rank) { return std::pair(-of_host[ranks.host(rank)], first[ranks.host(rank)]); });
  const int largest = of_host[ranks.host(circle[0])];
  const int shift = largest < size ? std::max(largest, size / 2) : size / 2;
  for (int place = 0; place < size; ++place)
    ranks_[static_cast<std::size_t>(circle[static_cast<std::size_t>(place)])].mirrored =
        circle[static_cast<std::size_t>((place + shift) % size)];
}

std::vector<int> Mirrors::holders(const Roster& left) const {
  std::map<int, int> rank_of;  // seat
  for (int rank = 0; rank < left.size(); ++rank) rank_of[left.seat(rank)] = rank;
  std::vector<int> holders(ranks_.size(), -1);
  std::vector<int> mirror_of(ranks_.size());
  for (const Rank& rank : ranks_) mirror_of[static_cast<std::size_t>(rank.mirrored)] = rank.seat;
  std::set<int> gone, lost;
  for (std::size_t slice = 0; slice < ranks_.size(); ++slice) {
    const int owner = ranks_[slice].seat, mirror = mirror_of[slice];
    if (rank_of.contains(owner))
      holders[slice] = rank_of[owner];
    else if (rank_of.contains(mirror))
      holders[slice] = rank_of[mirror];
    else
      lost.insert(static_cast<int>(slice)), gone.insert({owner, mirror});
  }
  if (!lost.empty())
    throw Error(
        fmt::format("optimizer.sharded: ranks {} are lost, and with them both copies of slices {} (of {}) of "
                    "the weights and the optimizer's state; start again with --resume, from the newest "
                    "checkpoint (rondo launch does so)",
                    fmt::join(gone, " and "), fmt::join(lost, " and "), ranks_.size()));
  return holders;
}

}  // namespace rondo
