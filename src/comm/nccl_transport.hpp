/// Sums between GPUs by NCCL: one rank a card, on a stream of its own beside the one that computes.
///
/// A reduction waits, on the card, for what had been queued on the backend's stream when it was started, so
/// a bucket travels while backward goes on. The host only looks: at NCCL's error state, the peers and the
/// deadline. int32 sums wrap mod 2^32 and have one result in any order; float32 sums are NCCL's.
/// NVIDIA, "NCCL user guide", 2.28: "Fault tolerance" (non-blocking communicators, ncclCommAbort).
#pragma once

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "mpi_communicator.hpp"
#include "rondo/comm/transport.hpp"
#include "rondo/device/backend.hpp"

namespace rondo {

class NcclTransport final : public Transport {
 public:
  /// The backend is the card's; it and the communicator outlive this.
  NcclTransport(MpiCommunicator& comm, Backend& backend);
  ~NcclTransport() override;
  NcclTransport(const NcclTransport&) = delete;
  NcclTransport& operator=(const NcclTransport&) = delete;

  std::string_view name() const override { return "nccl"; }
  Arena allocate(std::size_t words) override;
  void start(const Arena& arena, WordRange range, SumType type, SumTo to) override;
  void start(WordRange range, SliceWork work) override;
  bool progress() override;
  void finish() override;
  void share(const Arena& arena, std::span<const WordRange> ranges) override;
  /// By MPI: these few words are on the host.
  void combine(std::span<std::uint32_t> sums, std::span<std::uint32_t> maxima) override;

 private:
  /// Queues one collective behind what the backend's stream has been given so far. `traced_words`: that the
  /// trace is to show.
  void queue(std::string what, const std::function<ncclResult_t()>& collective, std::size_t traced_words = 0);
  void note_laps();
  /// Waits until NCCL has taken what it was given; aborts the communicator and throws on error or deadline.
  void settle(ncclResult_t result, const std::string& what);
  [[noreturn]] void fail(const std::string& what, const std::string& why);

  MpiCommunicator& comm_;
  Backend& backend_;
  cudaStream_t stream_ = nullptr;
  cudaEvent_t ready_ = nullptr, done_ = nullptr;
  ncclComm_t nccl_ = nullptr;
  MPI_Comm mpi_;
  std::vector<std::unique_ptr<Buffer>> memory_;  // [arena]
  std::string pending_;                          // the last reduction, for messages; empty: none
  struct Lap {
    std::size_t begin, end;  // the backend's moments
    std::size_t words;
  };
  std::vector<Lap> laps_;  // of reductions since the last finish(), where somebody traces
  std::int64_t reductions_traced_ = 0;
};

}  // namespace rondo
