/// The Communicator over MPI, and what the transports need of it besides.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "death_notice.hpp"
#include "mpi_api.hpp"
#include "patience.hpp"
#include "peer_watch.hpp"
#include "rondo/comm/communicator.hpp"

namespace rondo {

/// Throws Error with MPI's own words unless `code` is MPI_SUCCESS; RankLost where that is why it failed.
void mpi_check(int code, const char* call);

/// The most bytes of one MPI call: counts are ints, and some transports misbehave above 2 GiB.
inline constexpr std::size_t kMpiBytes = std::size_t{1} << 30;

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator(MPI_Comm ranks, double timeout_s);
  ~MpiCommunicator() override;
  MpiCommunicator(const MpiCommunicator&) = delete;
  MpiCommunicator& operator=(const MpiCommunicator&) = delete;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int local_rank() const override { return local_rank_; }
  int local_size() const override { return local_size_; }
  int cores() const override { return cores_; }
  double timeout_s() const override { return timeout_s_; }
  double waited_s() const override { return Patience::total_s(); }
  void set_timeout(double seconds) override { timeout_s_ = seconds; }

  void barrier() override;
  void broadcast(std::span<std::byte> data, int root) override;
  std::vector<std::string> gather_texts(const std::string& mine) override;
  void sum(std::span<std::uint64_t> values) override;
  double clock_ahead_s() override;
  [[noreturn]] void abort(int code) override;

  bool recovers() const override;
  void commit() override;
  std::vector<int> recover() override;
  int seat() const override { return seats_[rank_]; }
  [[noreturn]] void leave(int code) override;

  /// The node of every rank, numbered in order of their lowest ranks.
  const std::vector<int>& nodes() const { return nodes_; }
  /// The ranks of this node, in order.
  std::vector<int> ranks_here() const;
  /// A group of its own for the ranks of this node. Collective; gone before this one.
  std::unique_ptr<MpiCommunicator> node_group();
  /// A communicator of the same ranks, for one transport's messages. Freed with this object. Collective.
  MPI_Comm duplicate();
  MPI_Comm handle() const { return comm_; }
  /// Waits for a request; `what` completes "waited 30 s for ...".
  void wait(MPI_Request& request, const char* what);
  /// To be called when Patience says so: throws Error on a dead peer or after the deadline, RankLost where
  /// ranks may die. Afterwards this communicator takes no more calls before recover(), because requests may
  /// be left that nobody will complete.
  void look_round(const Patience& patience, const std::function<std::string()>& what);

 private:
  MPI_Comm duplicate_of(MPI_Comm other);
  void check_usable() const;
  void find_nodes();
  void count_cores();
  void look_for_revocation();
  MpiCommunicator& top() { return parent_ == nullptr ? *this : *parent_; }
  bool agree(bool mine);
  void revoke();
  void become(MPI_Comm survivors, std::vector<int>& lost);

  double timeout_s_;
  bool started_mpi_ = false, failed_ = false;
  MPI_Comm comm_ = MPI_COMM_NULL;
  std::vector<MPI_Comm> owned_;
  MpiCommunicator* parent_ = nullptr;     // of a node's group
  std::vector<MpiCommunicator*> groups_;  // made from this
  int rank_ = 0, size_ = 1, local_rank_ = 0, local_size_ = 1, cores_ = 1;
  std::vector<int> nodes_;          // [rank]
  std::vector<int> seats_;          // [rank]
  std::vector<std::string> cards_;  // [rank]
  std::unique_ptr<PeerWatch> peers_;
  std::unique_ptr<DeathNotice> notice_;  // where ranks may die
  bool voted_ = false;                   // the last vote came out against
};

/// Completes a request of a communicator that was revoked after a loss, whatever becomes of it, so that its
/// memory may go. Does nothing with others.
void settle(MPI_Comm comm, MPI_Request& request);

}  // namespace rondo
