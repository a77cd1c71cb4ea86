#include "hierarchical.hpp"

#include <algorithm>
#include <cstring>

#include "rondo/core/error.hpp"

namespace rondo {

Hierarchical::Hierarchical(const MpiCommunicator& comm, MPI_Comm mpi, NodeMemory& memory)
    : memory_(memory), local_rank_(comm.local_rank()), ranks_(comm.size()) {
  const std::vector<int>& nodes = comm.nodes();
  std::vector<std::vector<int>> ranks(1 + *std::ranges::max_element(nodes));  // [node]
  for (int rank = 0; rank < comm.size(); ++rank) ranks[nodes[rank]].push_back(rank);
  const auto [least, most] = std::ranges::minmax(ranks, {}, &std::vector<int>::size);
  lanes_ = static_cast<int>(least.size());
  even_ = least.size() == most.size();
  if (local_rank_ >= lanes_) return;
  for (const std::vector<int>& of_node : ranks) lane_.push_back(of_node[local_rank_]);
  if (ranks.size() > 1) ring_.emplace(mpi, Circle{lane_, nodes[comm.rank()]}, even_ ? ranks_ : 0);
}

std::vector<SumJob> Hierarchical::share_of_lane(const SumJob& job) const {
  const auto part = [&](WordRange slice) {
    return SumJob{job.data + slice.begin, slice.size(), job.type,
                  job.movement,           job.arena,    job.begin + slice.begin};
  };
  std::vector<SumJob> share;
  if (local_rank_ >= lanes_) return share;
  if (!even_) return {part(slice_of({0, job.words}, local_rank_, lanes_))};
  for (const int rank : lane_) share.push_back(part(slice_of({0, job.words}, rank, ranks_)));
  return share;
}

Advance Hierarchical::advance(const SumJob& asked) {
  SumJob job = asked;
  if (!scatters()) job.movement = Movement::all_reduce;
  Boards& boards = memory_.boards();
  switch (phase_) {
    case Phase::begin:
      boards.announce(&Boards::Board::started, ++jobs_);
      phase_ = Phase::wait_for_node;
      return Advance::moved;
    case Phase::wait_for_node:
      if (!boards.reached(&Boards::Board::started, jobs_)) return Advance::waiting;
      if (job.movement != Movement::all_gather) add_of_node(job);
      phase_ = Phase::across_nodes;
      return Advance::moved;
    case Phase::across_nodes:
      if (ring_)
        if (const Advance now = ring_->advance(even_ ? job : share_of_lane(job)[0]); now != Advance::done)
          return now;
      if (job.movement != Movement::reduce_scatter) give_to_node(job);
      boards.announce(&Boards::Board::reduced, jobs_);
      phase_ = Phase::wait_for_others;
      return Advance::moved;
    case Phase::wait_for_others:
      if (!boards.reached(&Boards::Board::reduced, jobs_)) return Advance::waiting;
      phase_ = Phase::begin;
      return Advance::done;
  }
  return Advance::waiting;
}

void Hierarchical::add_of_node(const SumJob& job) {
  // Block by block, so that a sum stays in the cache until all have been added.
  for (const SumJob& part : share_of_lane(job))
    for (std::size_t at = 0; at < part.words; at += kSliceWords)
      for (const std::uint32_t* peer : memory_.peers(job.arena))
        if (peer + part.begin != part.data)
          add_words(part.data + at, peer + part.begin + at, std::min(kSliceWords, part.words - at), job.type);
}

void Hierarchical::give_to_node(const SumJob& job) {
  for (const SumJob& part : share_of_lane(job))
    for (std::uint32_t* peer : memory_.peers(job.arena))
      if (peer + part.begin != part.data)
        std::memcpy(peer + part.begin, part.data, part.words * sizeof(std::uint32_t));
}

std::string Hierarchical::waiting_for() const {
  const Boards& boards = memory_.boards();
  switch (phase_) {
    case Phase::across_nodes:
      return ring_ ? ring_->waiting_for() : "its own lane";
    case Phase::wait_for_others:
      return boards.late(&Boards::Board::reduced, jobs_, "end their part of a reduction");
    default:
      return boards.late(&Boards::Board::started, jobs_, "start a reduction");
  }
}

}  // namespace rondo
