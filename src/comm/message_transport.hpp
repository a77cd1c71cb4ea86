/// A transport that sums by MPI messages: memory of its own, a queue of jobs that one algorithm does one
/// after another, and the small calls at the end of a step.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "in_flight.hpp"
#include "mapping.hpp"
#include "mpi_communicator.hpp"
#include "node_memory.hpp"
#include "ring.hpp"
#include "rondo/comm/transport.hpp"
#include "sum_algorithm.hpp"

namespace rondo {

/// The tail of a step by two MPI calls at once.
void combine_by_messages(MpiCommunicator& comm, MPI_Comm mpi, std::span<std::uint32_t> sums,
                         std::span<std::uint32_t> maxima);

class MessageTransport final : public Transport {
 public:
  /// `mpi` is for this transport's messages only. `memory`: where arenas are that ranks of a node reach, or
  /// none where the algorithm needs no such.
  MessageTransport(std::string name, MpiCommunicator& comm, MPI_Comm mpi, std::unique_ptr<NodeMemory> memory,
                   std::unique_ptr<SumAlgorithm> algorithm);

  std::string_view name() const override { return name_; }
  bool scatters() const override { return comm_.size() > 1 && algorithm_->scatters(); }
  std::size_t bucket_bytes(std::size_t bytes, std::size_t least) const override {
    return algorithm_->bucket_bytes(bytes, least);
  }
  Arena allocate(std::size_t words) override;
  void start(const Arena& arena, WordRange range, SumType type, SumTo to) override;
  void start(WordRange range, SliceWork work) override;
  bool progress() override;
  void finish() override;
  void share(const Arena& arena, std::span<const WordRange> ranges) override;
  void combine(std::span<std::uint32_t> sums, std::span<std::uint32_t> maxima) override;

 private:
  /// Repeats `advance` until it is done, patiently.
  void drive(const std::function<Advance()>& advance, const SumAlgorithm& algorithm);

  void next_job() {
    jobs_.pop_front();
    in_flight_.done();
  }

  const std::string name_;
  MpiCommunicator& comm_;
  const MPI_Comm mpi_;
  std::unique_ptr<NodeMemory> node_memory_;
  std::vector<Mapping> private_memory_;  // [arena], without node memory
  std::vector<std::size_t> words_;       // [arena]
  std::unique_ptr<SumAlgorithm> algorithm_;
  Ring around_;  // of share() where the algorithm cannot gather
  std::deque<SumJob> jobs_;
  InFlight in_flight_;
};

}  // namespace rondo
