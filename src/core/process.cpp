#include "rondo/core/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "rondo/core/clock.hpp"
#include "rondo/core/error.hpp"

namespace rondo {
namespace {

int open_pidfd(pid_t pid) {
#ifdef SYS_pidfd_open
  return static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
#else
  errno = ENOSYS;
  return -1;
#endif
}

struct Stat {
  char state = 'X';
  pid_t session = 0;
};

Stat stat_of(pid_t pid) {
  std::ifstream in(fmt::format("/proc/{}/stat", pid));
  std::string line;
  std::getline(in, line);
  const auto name_end = line.rfind(')');
  Stat stat;
  if (name_end == std::string::npos) return stat;
  std::istringstream rest(line.substr(name_end + 1));
  pid_t parent = 0, group = 0;
  rest >> stat.state >> parent >> group >> stat.session;
  return stat;
}

bool dead(char state) { return state == 'Z' || state == 'X'; }

}  // namespace

std::string pid_scope() {
  std::string boot = "-";
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  std::error_code ignored;
  return boot + "/" + std::filesystem::read_symlink("/proc/self/ns/pid", ignored).string();
}

Process::Process(pid_t pid) : pid_(pid), pidfd_(open_pidfd(pid)), gone_(pidfd_ < 0 && errno == ESRCH) {}

Process::~Process() {
  if (pidfd_ >= 0) close(pidfd_);
}

Process::Process(Process&& other) noexcept : pid_(other.pid_), pidfd_(other.pidfd_), gone_(other.gone_) {
  other.pidfd_ = -1;
}

bool Process::ended() const {
  if (gone_) return true;
  if (pidfd_ < 0) return dead(stat_of(pid_).state);
  pollfd waiting{pidfd_, POLLIN, 0};
  return poll(&waiting, 1, 0) > 0;
}

void Process::send(int signal) const {
  if (gone_) return;
#ifdef SYS_pidfd_send_signal
  if (pidfd_ >= 0) {
    syscall(SYS_pidfd_send_signal, pidfd_, signal, nullptr, 0);
    return;
  }
#endif
  kill(pid_, signal);
}

std::vector<pid_t> members_of_session(pid_t session) {
  std::vector<pid_t> found;
  std::error_code error;
  for (std::filesystem::directory_iterator it("/proc", error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    pid_t pid = 0;
    const auto [stop, problem] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (problem != std::errc{} || stop != name.data() + name.size()) continue;
    const Stat stat = stat_of(pid);
    if (stat.session == session && !dead(stat.state)) found.push_back(pid);
  }
  return found;
}

bool kill_for_sure(std::span<const Process* const> processes, double timeout_s) {
  for (const Process* process : processes) process->send(SIGKILL);
  const Deadline deadline(timeout_s);
  for (const Process* process : processes)
    while (!process->ended()) {
      if (deadline.passed()) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  return true;
}

}  // namespace rondo
