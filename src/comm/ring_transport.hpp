/// The ring all-reduce by messages (Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for
/// clusters of workstations", 2009), for ranks anywhere.
///
/// With n ranks a range is cut into n slices and takes 2(n - 1) steps. In step t rank r sends slice
/// (r - 1 - t) mod n to rank r + 1 and receives slice (r - 2 - t) mod n from rank r - 1: the one that it
/// will send next. In the first n - 1 steps it adds what it receives to its own words, so that it ends
/// them with the sum of slice r; in the others it stores the finished sums that come by.
///
/// Slices are cut into pieces, numbered through all steps, which may be on their way several at a time:
/// one is added while the next arrives. Piece i can be sent when piece i - pieces_ has been received.
#pragma once

#include <array>

#include "message_transport.hpp"

namespace rondo {

class RingTransport final : public MessageTransport {
 public:
  explicit RingTransport(MpiCommunicator& comm);
  std::string_view name() const override { return "ring"; }

 private:
  static constexpr std::size_t kPieceWords = 64 * 1024;
  static constexpr std::size_t kWindow = 4;  // pieces on their way at a time, each way

  Advance advance(const Job& job) override;
  std::string waiting_for() const override;
  bool receive(const Job& job);
  bool send(const Job& job);
  /// Piece number `i` of the slice that is handled in its step by the rank `back` places behind.
  std::span<std::uint32_t> piece(const Job& job, std::size_t i, int back) const;
  bool adds(std::size_t i) const { return i < pieces_ * static_cast<std::size_t>(size_ - 1); }

  Mapping inbox_;  // [kWindow][kPieceWords]: what arrives to be added
  std::array<MPI_Request, kWindow> receives_, sends_;
  // Of the oldest job; all zero between jobs.
  std::size_t pieces_ = 0;  // of a slice; the same for all slices, so the last may be empty
  std::size_t receives_posted_ = 0, received_ = 0, sends_posted_ = 0, sent_ = 0;
};

}  // namespace rondo
