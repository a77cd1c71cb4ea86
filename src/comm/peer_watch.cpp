#include "peer_watch.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

namespace rondo {
namespace {

std::string pid_scope() {
  std::string boot = "-";
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  std::error_code ignored;
  return boot + "/" + std::filesystem::read_symlink("/proc/self/ns/pid", ignored).string();
}

int open_pidfd(pid_t pid) {
#ifdef SYS_pidfd_open
  return static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
#else
  errno = ENOSYS;
  return -1;
#endif
}

}  // namespace

std::string PeerWatch::card() { return fmt::format("{} {}", pid_scope(), getpid()); }

PeerWatch::PeerWatch(const std::vector<std::string>& cards, int own_rank) {
  const std::string here = pid_scope() + " ";
  for (int rank = 0; rank < static_cast<int>(cards.size()); ++rank) {
    if (rank == own_rank || !cards[rank].starts_with(here)) continue;
    const pid_t pid = std::stoi(cards[rank].substr(here.size()));
    peers_.push_back({rank, pid, open_pidfd(pid)});
  }
}

PeerWatch::~PeerWatch() {
  for (const Peer& peer : peers_)
    if (peer.pidfd >= 0) close(peer.pidfd);
}

int PeerWatch::first_dead() const {
  for (const Peer& peer : peers_) {
    if (peer.pidfd >= 0) {
      pollfd ended{peer.pidfd, POLLIN, 0};  // readable from the moment of death, also of a zombie
      if (poll(&ended, 1, 0) > 0) return peer.rank;
    } else if (kill(peer.pid, 0) != 0 && errno == ESRCH) {
      return peer.rank;
    }
  }
  return -1;
}

}  // namespace rondo
