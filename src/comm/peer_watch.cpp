#include "peer_watch.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>

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

std::vector<int> PeerWatch::newly_dead() {
  std::vector<int> ranks;
  for (Peer& peer : peers_) {
    if (peer.told || !peer.process.ended()) continue;
    peer.told = true;
    ranks.push_back(peer.rank);
  }
  return ranks;
}

bool PeerWatch::end(const std::vector<int>& ranks, double timeout_s) const {
  std::vector<const Process*> processes;
  for (const Peer& peer : peers_)
    if (std::ranges::find(ranks, peer.rank) != ranks.end()) processes.push_back(&peer.process);
  return kill_for_sure(processes, timeout_s);
}

std::vector<int> PeerWatch::handles() const {
  std::vector<int> handles;
  for (const Peer& peer : peers_) handles.push_back(peer.process.handle());
  return handles;
}

}  // namespace rondo
