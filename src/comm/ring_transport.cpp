#include "ring_transport.hpp"

#include <algorithm>

#include "rondo/core/error.hpp"
#include "rondo/device/simd.hpp"

namespace rondo {
namespace {

constexpr int kTag = 1;

bool completed(MPI_Request& request) {
  int done = 0;
  mpi_check(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "MPI_Test");
  return done != 0;
}

}  // namespace

RingTransport::RingTransport(MpiCommunicator& comm)
    : MessageTransport(comm), inbox_(private_memory(kWindow * kPieceWords * sizeof(std::uint32_t))) {}

std::span<std::uint32_t> RingTransport::piece(const Job& job, std::size_t i, int back) const {
  const int step = static_cast<int>(i / pieces_);
  const int owner = ((rank_ - back - step) % size_ + size_) % size_;
  const WordRange slice = slice_of({0, job.words}, owner, size_);
  const std::size_t at = std::min(slice.size(), i % pieces_ * kPieceWords);
  return {job.data + slice.begin + at, std::min(kPieceWords, slice.size() - at)};
}

MessageTransport::Advance RingTransport::advance(const Job& job) {
  if (pieces_ == 0) {
    std::size_t largest = 0;
    for (int r = 0; r < size_; ++r) largest = std::max(largest, slice_of({0, job.words}, r, size_).size());
    pieces_ = (largest + kPieceWords - 1) / kPieceWords;
  }
  const bool received = receive(job);
  const bool sent = send(job);
  if (sent_ == pieces_ * 2 * static_cast<std::size_t>(size_ - 1) && received_ == sent_) {
    pieces_ = receives_posted_ = received_ = sends_posted_ = sent_ = 0;
    return Advance::done;
  }
  return received || sent ? Advance::moved : Advance::waiting;
}

bool RingTransport::receive(const Job& job) {
  const std::size_t all = pieces_ * 2 * static_cast<std::size_t>(size_ - 1);
  const std::size_t summed = all / 2;
  bool moved = false;
  while (receives_posted_ < all && receives_posted_ - received_ < kWindow) {
    const std::size_t i = receives_posted_;
    // A finished piece goes where a partial sum lay that was sent n - 1 steps before: it must have left.
    if (!adds(i) && sent_ <= i - summed) break;
    std::span<std::uint32_t> to = piece(job, i, 2);
    if (adds(i))
      to = {reinterpret_cast<std::uint32_t*>(inbox_.data()) + i % kWindow * kPieceWords, to.size()};
    mpi_check(MPI_Irecv(to.data(), static_cast<int>(to.size()), MPI_UINT32_T, (rank_ + size_ - 1) % size_,
                        kTag, mpi_, &receives_[i % kWindow]),
              "MPI_Irecv");
    ++receives_posted_;
    moved = true;
  }
  if (received_ == receives_posted_ || !completed(receives_[received_ % kWindow])) return moved;
  if (adds(received_)) {
    const std::span<std::uint32_t> to = piece(job, received_, 2);
    const auto* from =
        reinterpret_cast<const std::uint32_t*>(inbox_.data()) + received_ % kWindow * kPieceWords;
    if (job.type == SumType::int32)
      simd().add_i32(to.data(), from, to.size());
    else
      simd().add_f32(reinterpret_cast<float*>(to.data()), reinterpret_cast<const float*>(from), to.size());
  }
  ++received_;
  return true;
}

bool RingTransport::send(const Job& job) {
  const std::size_t ready = std::min(pieces_ * 2 * static_cast<std::size_t>(size_ - 1), received_ + pieces_);
  bool moved = false;
  while (sends_posted_ < ready && sends_posted_ - sent_ < kWindow) {
    const std::span<std::uint32_t> from = piece(job, sends_posted_, 1);
    mpi_check(MPI_Isend(from.data(), static_cast<int>(from.size()), MPI_UINT32_T, (rank_ + 1) % size_, kTag,
                        mpi_, &sends_[sends_posted_ % kWindow]),
              "MPI_Isend");
    ++sends_posted_;
    moved = true;
  }
  if (sent_ == sends_posted_ || !completed(sends_[sent_ % kWindow])) return moved;
  ++sent_;
  return true;
}

std::string RingTransport::waiting_for() const {
  return fmt::format("rank {} to send piece {} or rank {} to take piece {} of a ring all-reduce",
                     (rank_ + size_ - 1) % size_, received_, (rank_ + 1) % size_, sent_);
}

}  // namespace rondo
