#include "peer_watch.hpp"

#include <fmt/format.h>
#include <unistd.h>

namespace rondo {

std::string PeerWatch::card() { return fmt::format("{} {}", pid_scope(), getpid()); }

PeerWatch::PeerWatch(const std::vector<std::string>& cards, int own_rank) {
  const std::string here = pid_scope() + " ";
  for (int rank = 0; rank < static_cast<int>(cards.size()); ++rank)
    if (rank != own_rank && cards[rank].starts_with(here))
      peers_.push_back({rank, Process(std::stoi(cards[rank].substr(here.size())))});
}

int PeerWatch::first_dead() const {
  for (const Peer& peer : peers_)
    if (peer.process.ended()) return peer.rank;
  return -1;
}

}  // namespace rondo
