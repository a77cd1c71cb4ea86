/// Memory that the ranks of each node share, where ranks are on several nodes.
#pragma once

#include <memory>
#include <vector>

#include "boards.hpp"
#include "mapping.hpp"
#include "mpi_communicator.hpp"

namespace rondo {

class NodeMemory {
 public:
  /// Collective, as is allocate().
  explicit NodeMemory(MpiCommunicator& comm);

  /// Zeroed words of this rank, which its node's peers can reach. InputError on every rank where any node has
  /// too little room.
  std::uint32_t* allocate(std::size_t words);
  /// Where each rank of this node has its words of allocation `arena`, in order of local rank.
  const std::vector<std::uint32_t*>& peers(int arena) const { return peers_[arena]; }
  Boards& boards() { return boards_; }

 private:
  MpiCommunicator& comm_;
  std::unique_ptr<MpiCommunicator> node_;
  Boards boards_;
  std::vector<Mapping> memory_;                     // [arena]
  std::vector<std::vector<std::uint32_t*>> peers_;  // [arena][local rank]
};

}  // namespace rondo
