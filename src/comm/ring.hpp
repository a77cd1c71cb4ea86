/// The ring all-reduce (Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for clusters of
/// workstations", 2009), for large messages between ranks anywhere.
///
/// With n ranks a range is cut into n slices and takes 2(n - 1) steps. In step t the rank at place r sends
/// slice (r - 1 - t) mod n to place r + 1 and receives slice (r - 2 - t) mod n from place r - 1: the one that
/// it will send next. In the first n - 1 steps it adds what it receives to its own words, so that it ends
/// them with the sum of slice r; in the others it stores the finished sums that come by. The first half alone
/// is a reduce-scatter, the second an all-gather.
///
/// Slices are cut into pieces, numbered through all steps, which may be on their way several at a time:
/// one is added while the next arrives. Piece i can be sent when piece i - pieces_ has been received.
#pragma once

#include <array>

#include "mapping.hpp"
#include "sum_algorithm.hpp"

namespace rondo {

class Ring final : public SumAlgorithm {
 public:
  /// Among the ranks of `circle`, by messages of `mpi`. A job is cut into a slice for each place or, where
  /// `owners` is not 0, into one for each of so many ranks, of which those of this circle's ranks are moved.
  Ring(MPI_Comm mpi, Circle circle, int owners = 0);
  ~Ring() override;
  bool scatters() const override { return true; }
  Advance advance(const SumJob& job) override;
  std::string waiting_for() const override;

 private:
  static constexpr std::size_t kWindow = 4;  // pieces on their way at a time, each way

  void begin(const SumJob& job);
  bool receive(const SumJob& job);
  bool send(const SumJob& job);
  int neighbour(int distance) const;
  WordRange slice(const SumJob& job, int place) const;
  std::size_t half() const { return pieces_ * static_cast<std::size_t>(size_ - 1); }
  /// Piece number `i` of the slice that is handled in its step by the rank `back` places behind.
  std::span<std::uint32_t> piece(const SumJob& job, std::size_t i, int back) const;
  std::span<std::uint32_t> inbox(std::size_t i, std::size_t words);
  bool adds(std::size_t i) const { return i < half(); }

  const MPI_Comm mpi_;
  const Circle circle_;
  const int place_, size_, owners_;
  Mapping inbox_;  // [kWindow][kPieceWords]: what arrives to be added
  std::array<MPI_Request, kWindow> receives_, sends_;
  // Of the current job; all zero between jobs.
  std::size_t pieces_ = 0;  // of a slice; the same for all slices, so the last may be empty
  std::size_t end_ = 0;     // the piece at which the job is done
  std::size_t receives_posted_ = 0, received_ = 0, sends_posted_ = 0, sent_ = 0;
};

}  // namespace rondo
