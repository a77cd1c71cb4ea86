/// Sums through memory that all ranks of one node share: no message carries a gradient.
///
/// Every rank counts, in its own cache lines, the jobs that it has started and those whose slice it has
/// reduced. Once all have started job k, each rank sums its slice over all ranks' memory and writes the
/// sum to all; when all have reduced it the job is done. Ranks may lag: a rank goes on to the slices of
/// later jobs without waiting for its peers' earlier ones, because pending ranges do not overlap.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <vector>

#include "mapping.hpp"
#include "mpi_communicator.hpp"
#include "rondo/comm/transport.hpp"

namespace rondo {

class SharedTransport final : public Transport {
 public:
  explicit SharedTransport(MpiCommunicator& comm);
  std::string_view name() const override { return "shared"; }
  bool shares_memory() const override { return true; }
  Arena allocate(std::size_t words) override;
  void start(const Arena& arena, WordRange range, SumType type) override;
  void start(WordRange range, SliceWork work) override;
  bool progress() override;
  void finish() override;
  void share(const Arena& arena) override;
  void combine(std::span<std::uint32_t> sums, std::span<std::uint32_t> maxima) override;

 private:
  using Count = std::atomic<std::uint64_t>;
  static_assert(Count::is_always_lock_free, "atomics between processes must not need a lock");

  /// What one rank tells the others. Written by that rank only; a line per counter, so that a rank that
  /// polls one does not disturb the others.
  struct Board {
    alignas(64) Count started;
    alignas(64) Count reduced;
    alignas(64) Count rounds;  // of combine and share
  };
  struct Job {
    WordRange range;
    SliceWork work;  // of the slice; empty for a sum
    int arena = 0;
    SumType type = SumType::int32;
  };
  struct InFlight {
    std::size_t words;
    double since;
  };

  void push(Job job);
  void run(const Job& job);
  /// Announces this rank's round and waits for everybody's; what was written before is then seen by all.
  void meet();
  /// Waits until every rank's counter has reached `value`.
  void wait_for(Count Board::*counter, std::uint64_t value, const char* what);
  void note_done();
  bool reached(Count Board::*counter, std::uint64_t value) const;
  std::uint32_t* round_words(int rank) const;

  MpiCommunicator& comm_;
  int rank_, size_;
  Mapping board_memory_;
  std::vector<Board*> boards_;                      // [rank]
  std::vector<Mapping> memory_;                     // [arena]
  std::vector<std::vector<std::uint32_t*>> peers_;  // [arena][rank]
  std::vector<std::size_t> words_;                  // [arena]
  std::deque<InFlight> in_flight_;                  // started here, not known to be done
  std::deque<Job> jobs_;                            // started here, own slice not yet reduced
  std::uint64_t started_ = 0, reduced_ = 0, rounds_ = 0;
  Mapping round_memory_;  // [rank][2][round_capacity_] words
  std::size_t round_capacity_ = 0;
};

}  // namespace rondo
