/// The group of ranks: who is there, on which node, and small collective calls for set-up and control.
///
/// One thread per rank calls MPI (the one that made the Communicator). All waits have a deadline; when it
/// passes, or a peer on this node is found dead, they throw an Error that says which wait and for whom.
///
/// Where ranks may die (`recovers()`), the loss of a rank is a RankLost: every survivor gets one from its
/// next or present wait, gives up what it was doing, and calls recover(). What is to be done by all survivors
/// or by none is decided by commit().
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "rondo/core/error.hpp"

namespace rondo {

/// A rank has died, or another survivor has found that one has; see Communicator::recover().
class RankLost : public Error {
  using Error::Error;
};

class Communicator {
 public:
  /// Starts MPI (THREAD_FUNNELED) on a duplicate of MPI_COMM_WORLD. Without mpirun: one rank.
  /// `timeout_s`: the deadline of every wait.
  static std::unique_ptr<Communicator> world(double timeout_s);
  /// This rank as the only one of a group. After world(), and gone before it.
  static std::unique_ptr<Communicator> alone(double timeout_s);
  /// Finalises MPI if it was started. A Communicator that is destroyed by an exception, or of which a wait
  /// has failed, must not wait for its peers: it leaves MPI as it is, and the command calls abort() instead.
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual int local_rank() const = 0;  ///< among the ranks of this node
  virtual int local_size() const = 0;
  virtual int cores() const = 0;  ///< that the ranks of this node may run on, all together
  bool single_node() const { return local_size() == size(); }

  virtual void barrier() = 0;
  virtual void broadcast(std::span<std::byte> data, int root) = 0;
  /// Every rank's text, in order of rank.
  virtual std::vector<std::string> gather_texts(const std::string& mine) = 0;
  /// Element-wise sum mod 2^64, in place: exact, whatever the order. Also gathers: zeros elsewhere.
  virtual void sum(std::span<std::uint64_t> values) = 0;

  /// How far this rank's now_s() is ahead of rank 0's, to within half a round trip; 0 where that cannot be
  /// told from none. Collective.
  virtual double clock_ahead_s() = 0;

  /// Whether survivors go on after the death of a rank: Open MPI 5, under `mpirun --with-ft ulfm`.
  virtual bool recovers() const { return false; }
  /// Returns on all ranks that live, once all have called it; or throws RankLost on all that live.
  /// Collective. Does nothing, and costs nothing, where the death of a rank is the end of the job.
  virtual void commit() {}
  /// After RankLost: this becomes the group of the survivors, whose order stays. Returns who is gone, dead
  /// for certain, by their seats. What was made from this (transports) works no more and must be made again.
  /// Collective; what it waits for is bounded as all waits are. More may have died before all survivors have
  /// returned; their next wait then throws RankLost.
  virtual std::vector<int> recover() { return {}; }
  /// The rank that this process had at the start: its name in files and messages.
  virtual int seat() const { return rank(); }
  /// Ends this process with this exit code once all have come here, or have died or left. For where
  /// MPI_Finalize could hang, because ranks have died.
  [[noreturn]] virtual void leave(int code) = 0;

  /// Ends all ranks at once with this exit code.
  [[noreturn]] virtual void abort(int code) = 0;
  virtual double timeout_s() const = 0;
  /// Seconds that this process has had nothing to do but to wait for other ranks or their messages, in all.
  virtual double waited_s() const = 0;
  virtual void set_timeout(double seconds) = 0;
};

/// "Open MPI 4.1.4 (MPI 3.1), without ULFM".
std::string mpi_version();
/// NCCL's version, or why there is none.
std::string nccl_version();
/// Whether in-job recovery (ULFM) was compiled in; it is active under `mpirun --with-ft ulfm` only.
bool mpi_has_ulfm();

}  // namespace rondo
