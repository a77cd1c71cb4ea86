/// A thread that sleeps until a rank of this node dies, and then tells MPI of it: see ulfm::tell_dead(). So
/// MPI knows at once, also while the thread that trains is inside a call that only the news would end.
#pragma once

#include <string>
#include <thread>
#include <vector>

#include "peer_watch.hpp"

namespace rondo {

class DeathNotice {
 public:
  /// `cards`: as PeerWatch has them; `seats`: what these ranks are in MPI_COMM_WORLD.
  DeathNotice(const std::vector<std::string>& cards, std::vector<int> seats, int own_rank);
  ~DeathNotice();
  DeathNotice(const DeathNotice&) = delete;
  DeathNotice& operator=(const DeathNotice&) = delete;

 private:
  void loop();

  PeerWatch peers_;
  std::vector<int> seats_;
  int stop_;  // an eventfd
  std::thread thread_;
};

}  // namespace rondo
