/// Which ranks of this node are still alive.
#pragma once

#include <string>
#include <vector>

#include "rondo/core/process.hpp"

namespace rondo {

class PeerWatch {
 public:
  /// What a rank tells the others so that they can watch it: where its pid is valid, and its pid.
  static std::string card();
  /// Watches the ranks whose pids mean something here: same boot of the same kernel, same pid namespace.
  /// `cards`: every rank's card, in order of rank.
  PeerWatch(const std::vector<std::string>& cards, int own_rank);

  /// A rank whose process has ended, or -1.
  int first_dead() const;

 private:
  struct Peer {
    int rank;
    Process process;
  };
  std::vector<Peer> peers_;
};

}  // namespace rondo
