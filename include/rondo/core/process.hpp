/// Other processes of this machine: whether they live, and ending them for sure.
#pragma once

#include <sys/types.h>

#include <span>
#include <string>
#include <vector>

namespace rondo {

/// Where a pid means something: this boot of the kernel and this namespace of pids. Equal texts: equal pids.
std::string pid_scope();

/// A process by a handle that cannot come to mean another one when its pid is used again.
class Process {
 public:
  explicit Process(pid_t pid);
  ~Process();
  Process(Process&& other) noexcept;
  Process& operator=(Process&&) = delete;

  pid_t pid() const { return pid_; }
  /// Readable for poll() from the moment of death; -1 where the kernel has no such.
  int handle() const { return pidfd_; }
  /// True from the moment of death, also of a zombie; false while it is merely stopped.
  bool ended() const;
  void send(int signal) const;

 private:
  pid_t pid_;
  int pidfd_;  // -1: where the kernel has none (before Linux 5.3), or it had ended before
  bool gone_;
};

/// Living processes of a session: mpirun and the ranks that it started on this machine.
std::vector<pid_t> members_of_session(pid_t session);

/// SIGKILL to all of them, and waits until none is left. False when one has not died after `timeout_s` (it is
/// inside a system call that cannot be broken off, such as a dead network disk's).
bool kill_for_sure(std::span<const Process* const> processes, double timeout_s);

}  // namespace rondo
