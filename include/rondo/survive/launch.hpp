/// `rondo launch`: starts mpirun, watches over the run, and starts it again from its newest good checkpoint
/// when a rank dies, hangs or is stopped and the others do not survive that in the job, until it is done.
///
/// A restart waits until every rank of the job before is dead, so that none can write into the new one. It is
/// immediate after a job that had written a new checkpoint; the next ones at the same checkpoint wait 1 and
/// then 4 seconds on one rank less each (not below min_ranks), and after the fourth launch gives up. Hosts
/// that do not answer are left out until they do.
#pragma once

#include <string>
#include <vector>

namespace rondo {

struct LaunchOptions {
  int ranks = 1;
  int max_restarts = 10;
  int min_ranks = 0;                ///< 0: as many as `ranks`
  std::string hosts;                ///< hostfile, "": wherever mpirun puts ranks
  std::vector<std::string> mpirun;  ///< mpirun with further arguments of its own
  std::vector<std::string> train;   ///< the program, "train" and its arguments
  std::string run_directory;
  bool resume = false;  ///< the arguments ask for it
};

/// Returns the exit code: 0 trained, 85 stopped as asked (TERM and INT here; USR1 asks for a checkpoint), or
/// that of an error that no restart mends. Throws Error, after printing the account, when it gives up, and
/// InputError when another run is writing there.
int launch(const LaunchOptions& options);

}  // namespace rondo
