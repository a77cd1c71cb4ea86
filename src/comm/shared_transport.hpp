/// Sums through memory that all ranks of one node share: no message carries a gradient.
///
/// Every rank counts, in its own cache lines, the jobs that it has started and those whose slice it has
/// reduced. Once all have started job k, each rank sums its slice over all ranks' memory and writes the
/// sum to all; when all have reduced it the job is done. Ranks may lag: a rank goes on to the slices of
/// later jobs without waiting for its peers' earlier ones, because pending ranges do not overlap.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "boards.hpp"
#include "in_flight.hpp"
#include "mapping.hpp"
#include "mpi_communicator.hpp"
#include "rondo/comm/transport.hpp"

namespace rondo {

class SharedTransport final : public Transport {
 public:
  explicit SharedTransport(MpiCommunicator& comm);
  std::string_view name() const override { return "shared"; }
  bool shares_memory() const override { return true; }
  bool scatters() const override { return size_ > 1; }
  Arena allocate(std::size_t words) override;
  Arena allocate_common(std::size_t words) override;
  void start(const Arena& arena, WordRange range, SumType type, SumTo to) override;
  void start(WordRange range, SliceWork work) override;
  bool progress() override;
  void finish() override;
  void share(const Arena& arena, std::span<const WordRange> ranges) override;
  void combine(std::span<std::uint32_t> sums, std::span<std::uint32_t> maxima) override;

 private:
  struct Job {
    WordRange range;
    SliceWork work;  // of the slice; empty for a sum
    int arena = 0;
    SumType type = SumType::int32;
    SumTo to = SumTo::every_rank;
  };

  struct Allocation {
    Mapping memory;
    std::vector<std::uint32_t*> peers;  // [rank]; all the same where it is common
    std::size_t words = 0;
    bool common = false;
  };

  Arena keep(Allocation allocation);
  void push(Job job);
  void run(const Job& job);
  /// Announces this rank's round and waits for everybody's; what was written before is then seen by all.
  void meet();
  std::uint32_t* round_words(int rank) const;

  MpiCommunicator& comm_;
  int rank_, size_;
  Boards boards_;  // started, reduced: jobs; rounds: of combine and share
  std::vector<Allocation> arenas_;
  InFlight in_flight_;
  std::deque<Job> jobs_;  // started here, own slice not yet reduced
  std::uint64_t started_ = 0, reduced_ = 0, rounds_ = 0;
  Mapping round_memory_;  // [rank][2][round_capacity_] words
  std::size_t round_capacity_ = 0;
};

}  // namespace rondo
