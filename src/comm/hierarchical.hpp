/// The hierarchical all-reduce, for large messages between nodes of several ranks: each word crosses a link
/// as if each node were one rank.
///
/// Lane k links the k-th rank of every node; there are as many lanes as the smallest node has ranks, and a
/// range is cut into a share for each: where all nodes have as many ranks, the slices that the lane's ranks
/// own, elsewhere one slice. Once all ranks of a node have started, lane k's rank adds its node's share k
/// into its own memory (a reduce-scatter in shared memory), a ring along the lane adds those of all nodes,
/// and the sum is written to every rank of the node (an all-gather). Ranks beyond the lanes only wait. Nobody
/// but lane k touches share k until that. A reduce-scatter ends with the first half of the ring, an
/// all-gather begins with its second.
#pragma once

#include <optional>

#include "node_memory.hpp"
#include "ring.hpp"

namespace rondo {

class Hierarchical final : public SumAlgorithm {
 public:
  /// Jobs are ranges of `memory`, which outlives this.
  Hierarchical(const MpiCommunicator& comm, MPI_Comm mpi, NodeMemory& memory);
  bool scatters() const override { return even_; }
  Advance advance(const SumJob& asked) override;
  std::string waiting_for() const override;

 private:
  enum class Phase { begin, wait_for_node, across_nodes, wait_for_others };

  std::vector<SumJob> share_of_lane(const SumJob& job) const;
  void add_of_node(const SumJob& job);
  void give_to_node(const SumJob& job);

  NodeMemory& memory_;
  const int local_rank_;
  int lanes_ = 1;
  bool even_ = true;          // all nodes have as many ranks
  std::vector<int> lane_;     // ranks of this one's lane, if it has one
  int ranks_ = 1;             // of all nodes
  std::optional<Ring> ring_;  // along lane_, where there are several nodes
  Phase phase_ = Phase::begin;
  std::uint64_t jobs_ = 0;  // begun
};

}  // namespace rondo
