// How a group of ranks survives the death of some of them.
//
// Every survivor does the same votes on a communicator, in the same order: one for each step that it is ready
// to commit, and one against when it has found a loss. So the first vote that comes out against is the same
// one everywhere, and all go from there to the shrink, wherever they were.
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <numeric>
#include <utility>

#include "mpi_communicator.hpp"
#include "rondo/core/error.hpp"
#include "rondo/core/phase.hpp"
#include "ulfm.hpp"

namespace rondo {
namespace {

constexpr double kDie = 10;    // seconds until a killed process is gone
constexpr double kSettle = 5;  // seconds for a request of a revoked communicator
constexpr int kNoTag = 32766;  // of no message

}  // namespace

void settle(MPI_Comm comm, MPI_Request& request) {
  if (request == MPI_REQUEST_NULL || !ulfm::revoked(comm)) return;
  Patience patience(kSettle);
  for (int done = 0; done == 0 && request != MPI_REQUEST_NULL;) {
    if (MPI_Test(&request, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS) return;
    if (patience.pause() && patience.expired()) return;
  }
}

bool MpiCommunicator::recovers() const { return ulfm::active(); }

// News of losses end no vote: it comes out on all survivors alike.
bool MpiCommunicator::agree(bool mine) {
  int flag = mine ? 1 : 0, done = 0;
  MPI_Request request = MPI_REQUEST_NULL;
  ulfm::begin_agree(comm_, flag, request);
  Patience patience(timeout_s_);
  while (done == 0) {
    const int code = MPI_Test(&request, &done, MPI_STATUS_IGNORE);
    if (ulfm::is_loss(code)) break;
    mpi_check(code, "MPIX_Comm_iagree");
    if (done != 0 || !patience.pause()) continue;
    note_wait();
    RONDO_CHECK(!patience.expired(), "waited {:.1f} s for all ranks to vote: a rank is stuck",
                patience.waited());
  }
  return flag != 0;
}

void MpiCommunicator::commit() {
  if (!recovers() || size_ == 1 || agree(true)) return;
  voted_ = failed_ = true;
  throw RankLost("another rank found that a rank is lost");
}

void MpiCommunicator::look_for_revocation() {
  if (!recovers() || comm_ == MPI_COMM_NULL) return;
  int there = 0;
  mpi_check(MPI_Iprobe(MPI_ANY_SOURCE, kNoTag, comm_, &there, MPI_STATUS_IGNORE), "MPI_Iprobe");
}

void MpiCommunicator::revoke() {
  ulfm::revoke(comm_);
  for (const MPI_Comm comm : owned_) ulfm::revoke(comm);
  for (MpiCommunicator* group : groups_) group->revoke();
}

std::vector<int> MpiCommunicator::recover() {
  std::vector<int> lost;
  for (;;) {
    try {
      revoke();
      if (!std::exchange(voted_, false)) agree(false);
      become(ulfm::shrink(comm_), lost);
      barrier();  // now nobody who is gone can write anything
      return lost;
    } catch (const RankLost&) {  // more have died
    }
  }
}

void MpiCommunicator::become(MPI_Comm survivors, std::vector<int>& lost) {
  MPI_Group before = MPI_GROUP_NULL, after = MPI_GROUP_NULL;
  mpi_check(MPI_Comm_group(comm_, &before), "MPI_Comm_group");
  mpi_check(MPI_Comm_group(survivors, &after), "MPI_Comm_group");
  std::vector<int> old_ranks(static_cast<std::size_t>(size_)), new_ranks(old_ranks.size());
  std::iota(old_ranks.begin(), old_ranks.end(), 0);
  mpi_check(MPI_Group_translate_ranks(before, size_, old_ranks.data(), after, new_ranks.data()),
            "MPI_Group_translate_ranks");
  MPI_Group_free(&before);
  MPI_Group_free(&after);

  std::vector<int> gone, seats, nodes;
  std::vector<std::string> cards;
  std::map<int, int> renumbered;  // nodes
  for (const int old : old_ranks) {
    if (new_ranks[old] == MPI_UNDEFINED) {
      gone.push_back(old);
      continue;
    }
    seats.push_back(seats_[old]);
    cards.push_back(cards_[old]);
    const auto next = static_cast<int>(renumbered.size());
    nodes.push_back(renumbered.try_emplace(nodes_[old], next).first->second);
  }
  // A rank that was given up may still run, or be stopped and go on later. Those of a node that is gone
  // altogether have nobody to end them; MPI gives ranks up when it has lost that node's daemon.
  RONDO_CHECK(peers_->end(gone, kDie), "rank(s) {} cannot be ended: inside a system call",
              fmt::join(gone, ", "));
  for (const int old : gone) lost.push_back(seats_[old]);

  // What was made from the old communicators may still refer to them: they are revoked, and left.
  owned_.clear();
  comm_ = survivors;
  mpi_check(MPI_Comm_rank(comm_, &rank_), "MPI_Comm_rank");
  mpi_check(MPI_Comm_size(comm_, &size_), "MPI_Comm_size");
  seats_ = std::move(seats);
  cards_ = std::move(cards);
  nodes_ = std::move(nodes);
  const std::vector<int> here = ranks_here();
  local_size_ = static_cast<int>(here.size());
  local_rank_ = static_cast<int>(std::ranges::find(here, rank_) - here.begin());
  peers_ = std::make_unique<PeerWatch>(cards_, rank_);
  notice_ = std::make_unique<DeathNotice>(cards_, seats_, rank_);
  failed_ = false;
}

void MpiCommunicator::leave(int code) {
  try {
    if (size_ > 1) barrier();
  } catch (const Error&) {  // whoever is missing has left, or has died with nothing left to do
  }
  std::fflush(nullptr);
  std::_Exit(code);
}

}  // namespace rondo
