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
  /// Ranks whose processes have ended since the last call.
  std::vector<int> newly_dead();
  /// Kills those of these ranks that it watches, and waits until they are gone. False if one is not after
  /// `timeout_s`.
  bool end(const std::vector<int>& ranks, double timeout_s) const;
  /// What poll() finds readable when a watched process ends; -1 where the kernel has no such.
  std::vector<int> handles() const;

 private:
  struct Peer {
    int rank;
    Process process;
    bool told = false;
  };
  std::vector<Peer> peers_;
};

}  // namespace rondo
