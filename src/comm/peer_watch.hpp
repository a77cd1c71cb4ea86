/// Which ranks of this node are still alive.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace rondo {

class PeerWatch {
 public:
  /// What a rank tells the others so that they can watch it: where its pid is valid, and its pid.
  static std::string card();
  /// Watches the ranks whose pids mean something here: same boot of the same kernel, same pid namespace.
  /// `cards`: every rank's card, in order of rank.
  PeerWatch(const std::vector<std::string>& cards, int own_rank);
  ~PeerWatch();
  PeerWatch(const PeerWatch&) = delete;
  PeerWatch& operator=(const PeerWatch&) = delete;

  /// A rank whose process has ended, or -1.
  int first_dead() const;

 private:
  struct Peer {
    int rank;
    pid_t pid;
    int pidfd;  // -1 where the kernel has none (before Linux 5.3)
  };
  std::vector<Peer> peers_;
};

}  // namespace rondo
