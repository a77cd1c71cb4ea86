/// Agreement: finds memory that has silently changed, and undoes what followed from it.
///
/// Where every rank has all of a run's state, all copies must be the same bytes. At an interval each rank
/// copies its own and the digests of the copies are compared. The same: the copy becomes the agreed state.
/// Not the same: the gradients of a rank with wrong weights have gone into everybody's, so no rank's state is
/// that of an undisturbed run any more, not even the majority's. All go back to the agreed state and do the
/// steps since once more, to the same bytes. The majority decides who is named; with two ranks, or a tie,
/// nobody can tell.
///
/// A copy that has changed while it was kept is replaced by another rank's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "rondo/comm/communicator.hpp"
#include "rondo/core/config.hpp"
#include "rondo/core/state.hpp"

namespace rondo {

/// What `recovery.check_*` says.
struct AgreementOptions {
  std::int64_t every = 200;
  void visit(Fields& fields);
};

/// One rank's state by value, in the order of a visit; scalars are arrays of bytes too.
struct StateCopy {
  struct Part {
    std::string name;
    std::vector<std::byte> bytes;
  };
  std::vector<Part> parts;
  std::vector<std::uint64_t> digests() const;  ///< one a part
};

class Agreement {
 public:
  using Visit = std::function<void(StateVisitor&)>;
  /// `visit` goes over the state, the same on all ranks as long as no memory has changed.
  Agreement(Visit visit, Communicator& comm) : visit_(std::move(visit)), comm_(comm) {}

  /// Whether all ranks have the same state; if so it is the agreed one from now on. Collective. RankLost
  /// leaves everything as it was.
  bool check();
  /// After check() has said no: brings the agreed state back, on all ranks or (RankLost) on none. Collective.
  /// Error when no rank's copy of it is good any more.
  void go_back();

  /// What differed at the last check: "rank 1 (node7): parameters/layer0.weight; nobody else".
  const std::string& account() const { return account_; }
  /// Ranks that the majority has named in the checks which were followed by a go_back(), by seat: how often.
  const std::map<int, int>& named() const { return named_; }

 private:
  void name_dissenters(const std::vector<std::uint64_t>& mine);
  void mend_copy();

  Visit visit_;
  Communicator& comm_;
  StateCopy agreed_, fresh_;
  std::uint64_t digest_ = 0;  // of the agreed one
  std::vector<int> dissenters_;
  std::string account_;
  std::map<int, int> named_;
};

}  // namespace rondo
