/// What transports that sum by MPI messages have in common: memory of their own, a queue of jobs that
/// are done one after another, and the small calls at the end of a step.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "mapping.hpp"
#include "mpi_communicator.hpp"
#include "rondo/comm/transport.hpp"

namespace rondo {

/// The tail of a step by two MPI calls at once.
void combine_by_messages(MpiCommunicator& comm, MPI_Comm mpi, std::span<std::uint32_t> sums,
                         std::span<std::uint32_t> maxima);

class MessageTransport : public Transport {
 public:
  explicit MessageTransport(MpiCommunicator& comm);
  Arena allocate(std::size_t words) override;
  void start(const Arena& arena, WordRange range, SumType type) override;
  void start(WordRange range, SliceWork work) override;
  bool progress() override;
  void finish() override;
  void share(const Arena& arena) override;
  void combine(std::span<std::uint32_t> sums, std::span<std::uint32_t> maxima) override;

 protected:
  struct Job {
    std::uint32_t* data;
    std::size_t words;
    SumType type;
  };
  enum class Advance { waiting, moved, done };
  /// Does what can be done without waiting for the oldest job; after `done` comes the next job.
  virtual Advance advance(const Job& job) = 0;
  /// For messages: which step the oldest job has reached.
  virtual std::string waiting_for() const = 0;

  MpiCommunicator& comm_;
  const int rank_, size_;
  const MPI_Comm mpi_;

 private:
  std::vector<Mapping> memory_;     // [arena]
  std::vector<std::size_t> words_;  // [arena]
  std::deque<Job> jobs_;
  std::uint64_t moves_ = 0;
};

}  // namespace rondo
