#include "hierarchical.hpp"

#include <algorithm>
#include <cstring>

#include "rondo/core/error.hpp"

namespace rondo {

Hierarchical::Hierarchical(const MpiCommunicator& comm, MPI_Comm mpi, NodeMemory& memory)
    : memory_(memory), local_rank_(comm.local_rank()) {
  const std::vector<int>& nodes = comm.nodes();
  std::vector<std::vector<int>> ranks(1 + *std::ranges::max_element(nodes));  // [node]
  for (int rank = 0; rank < comm.size(); ++rank) ranks[nodes[rank]].push_back(rank);
  lanes_ = static_cast<int>(std::ranges::min(ranks, {}, &std::vector<int>::size).size());
  if (local_rank_ >= lanes_ || ranks.size() == 1) return;
  Circle lane{{}, nodes[comm.rank()]};
  for (const std::vector<int>& of_node : ranks) lane.ranks.push_back(of_node[local_rank_]);
  ring_.emplace(mpi, lane);
}

SumJob Hierarchical::slice_of_lane(const SumJob& job) const {
  const WordRange slice = slice_of({0, job.words}, local_rank_, lanes_);
  return {job.data + slice.begin, slice.size(), job.type, job.arena, job.begin + slice.begin};
}

Advance Hierarchical::advance(const SumJob& job) {
  Boards& boards = memory_.boards();
  const bool in_lane = local_rank_ < lanes_;
  switch (phase_) {
    case Phase::begin:
      boards.announce(&Boards::Board::started, ++jobs_);
      phase_ = Phase::wait_for_node;
      return Advance::moved;
    case Phase::wait_for_node:
      if (!boards.reached(&Boards::Board::started, jobs_)) return Advance::waiting;
      if (in_lane) add_of_node(slice_of_lane(job));
      phase_ = Phase::across_nodes;
      return Advance::moved;
    case Phase::across_nodes:
      if (ring_)
        if (const Advance now = ring_->advance(slice_of_lane(job)); now != Advance::done) return now;
      if (in_lane) give_to_node(slice_of_lane(job));
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
  for (std::size_t at = 0; at < job.words; at += kSliceWords)
    for (const std::uint32_t* peer : memory_.peers(job.arena))
      if (peer + job.begin != job.data)
        add_words(job.data + at, peer + job.begin + at, std::min(kSliceWords, job.words - at), job.type);
}

void Hierarchical::give_to_node(const SumJob& job) {
  for (std::uint32_t* peer : memory_.peers(job.arena))
    if (peer + job.begin != job.data)
      std::memcpy(peer + job.begin, job.data, job.words * sizeof(std::uint32_t));
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
