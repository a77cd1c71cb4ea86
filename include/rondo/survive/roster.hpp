/// Which ranks run micro-batches, and which wait as spares until one of those is lost.
///
/// A spare has the same state as all others, because it goes through every step with them and adds zeros to
/// the sums: it can take a place at once.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace rondo {

/// What `recovery.spares` says.
struct SpareOptions {
  std::int64_t count = 0;
  void visit(class Fields& fields);
};

class Roster {
 public:
  /// The last `spares` ranks wait. `hosts`: of each rank, by rank; ranks of one host have equal texts.
  /// InputError when there are no more ranks than spares.
  Roster(std::vector<std::string> hosts, std::int64_t spares);

  int size() const { return static_cast<int>(members_.size()); }
  bool spare(int rank) const { return members_[static_cast<std::size_t>(rank)].spare; }
  int seat(int rank) const { return members_[static_cast<std::size_t>(rank)].seat; }
  const std::string& host(int rank) const { return members_[static_cast<std::size_t>(rank)].host; }
  int active() const;         ///< ranks that run micro-batches
  int place(int rank) const;  ///< how many of those come before `rank`

  /// The ranks that began as these (Communicator::seat) are gone; the rest keep their order. For each that
  /// was active a spare takes over while there are any: one that was not retired, on its host if possible,
  /// else the first. The same on every rank. Says so: "spare rank 5 takes over from rank 2; rank 6 was a
  /// spare", "" for nothing to say.
  std::string lose(std::span<const int> seats);

  /// The active rank that comes `place`-th becomes a spare, and one that was never retired takes its place if
  /// there is one. Says so: "rank 2 is a spare from now on; spare rank 5 takes its place".
  std::string retire(int place);

 private:
  struct Member {
    int seat;
    std::string host;
    bool spare, retired = false;
  };
  Member* next_spare(const std::string& host, bool retired);
  std::vector<Member> members_;  // [rank]
};

}  // namespace rondo
