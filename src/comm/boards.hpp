/// What ranks of one node tell each other through memory: counters that only go up.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "mapping.hpp"
#include "mpi_communicator.hpp"

namespace rondo {

class Boards {
 public:
  using Count = std::atomic<std::uint64_t>;
  static_assert(Count::is_always_lock_free, "atomics between processes must not need a lock");

  /// What one rank tells the others. Written by that rank only; a line per counter, so that a rank that
  /// polls one does not disturb the others.
  struct Board {
    alignas(64) Count started;
    alignas(64) Count reduced;
    alignas(64) Count rounds;
  };
  using Counter = Count Board::*;

  /// For the ranks of `node`, which share memory; waits look round with `comm`. Collective on `node`.
  Boards(MpiCommunicator& comm, MpiCommunicator& node);

  /// This rank's counter is `value` from now on; whoever sees it sees what was written before.
  void announce(Counter counter, std::uint64_t value) {
    (own_->*counter).store(value, std::memory_order_release);
  }
  /// Whether every rank's counter has reached `value`.
  bool reached(Counter counter, std::uint64_t value) const;
  /// Waits for that; `what` completes "rank(s) 1, 2 to ...".
  void wait_for(Counter counter, std::uint64_t value, const char* what);
  /// "rank(s) 1, 2 to ...": those that have not reached it.
  std::string late(Counter counter, std::uint64_t value, const char* what) const;

 private:
  MpiCommunicator& comm_;
  Mapping memory_;
  std::vector<Board*> boards_;  // [rank on this node]
  std::vector<int> ranks_;      // of comm_
  Board* own_;
};

}  // namespace rondo
