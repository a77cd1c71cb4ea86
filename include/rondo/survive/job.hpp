/// One mpirun with its ranks, seen from outside: how it fares by its heartbeats, and how to end it for sure.
///
/// Where ranks say that they survive losses in the job, it is not broken by the loss of some as long as
/// others make progress.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rondo/core/process.hpp"
#include "rondo/survive/heartbeat.hpp"

namespace rondo {

struct JobPlan {
  std::vector<std::string> command;  ///< mpirun and its arguments
  std::string run_directory;
  int ranks = 1;
  JobName name;  ///< goes into the environment
};

class Job {
 public:
  /// How things stand.
  struct Verdict {
    enum Kind { running, over, broken } kind = running;
    std::vector<int> lost;  ///< broken: by whose fault
    std::string what;       ///< broken: for the account
  };

  /// Starts mpirun in a session of its own. When this process dies, mpirun is told to end.
  explicit Job(JobPlan plan);
  /// Waits a few seconds for mpirun, which is slow to see that its ranks are gone, then kills it.
  ~Job();
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  /// Looks round; to be called every few milliseconds. `over`: mpirun has ended, or all ranks have and it
  /// should have.
  Verdict look();

  bool up() const { return static_cast<int>(seen_.size()) == plan_.ranks; }  ///< all ranks have been seen
  bool any_up() const { return !seen_.empty(); }
  std::int64_t first_step() const;    ///< -1: no rank got so far
  std::int64_t reached_step() const;  ///< -1 likewise
  /// Of mpirun, in the shell's manner; -1: still there.
  int exit_code() const { return exit_code_; }
  /// What all ranks that are not outlived said last, if they said the same; else none.
  Ending common_ending() const;
  /// The exit code of a rank that failed with a message, 0 if none did.
  int failure_code() const;
  std::string failure() const;  ///< the same for the account, "" if none did

  void send(int signal) const;  ///< to mpirun, which hands USR1 and USR2 on to its ranks
  /// Kills every rank, stopped ones too, and returns when all are dead: none will write any more. False
  /// when one cannot be killed. mpirun itself may still be on its way out.
  bool end();

 private:
  struct Seen {
    Beat beat;
    double beat_at = 0, word_at = 0;   // when they changed last, now_s()
    std::unique_ptr<Process> process;  // on this machine
    bool dead = false;
  };
  void read_beats();
  void reap();
  std::string fate_of(const Seen& rank) const;  // "": it is no dead one
  bool silent(const Seen& rank) const;
  bool outlived(const Seen& rank) const;  // by others, who have gone on or still have to
  Verdict judge() const;

  JobPlan plan_;
  std::string scope_ = pid_scope();
  pid_t mpirun_ = -1;
  int exit_code_ = -1;
  double started_, next_read_ = 0, farewell_ = 0;  // farewell_: when the first rank said how it ends
  double loss_at_ = 0;                             // when a rank was last seen to be lost
  std::map<int, Seen> seen_;
};

}  // namespace rondo
