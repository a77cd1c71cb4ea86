#include "ring.hpp"

#include <algorithm>

#include "rondo/core/error.hpp"

namespace rondo {

Ring::Ring(MPI_Comm mpi, Circle circle, int owners)
    : mpi_(mpi),
      circle_(std::move(circle)),
      place_(circle_.place),
      size_(circle_.size()),
      owners_(owners),
      inbox_(private_memory(kWindow * kPieceWords * sizeof(std::uint32_t))) {
  receives_.fill(MPI_REQUEST_NULL);
  sends_.fill(MPI_REQUEST_NULL);
}

Ring::~Ring() {
  for (auto* requests : {&receives_, &sends_})
    for (MPI_Request& request : *requests) settle(mpi_, request);
}

int Ring::neighbour(int distance) const { return circle_.ranks[(place_ + distance + size_) % size_]; }

WordRange Ring::slice(const SumJob& job, int place) const {
  if (owners_ == 0) return slice_of({0, job.words}, place, size_);
  return slice_of({0, job.words}, circle_.ranks[place], owners_);
}

std::span<std::uint32_t> Ring::piece(const SumJob& job, std::size_t i, int back) const {
  const int step = static_cast<int>(i / pieces_);
  const WordRange whole = slice(job, ((place_ - back - step) % size_ + size_) % size_);
  const std::size_t at = std::min(whole.size(), i % pieces_ * kPieceWords);
  return {job.data + whole.begin + at, std::min(kPieceWords, whole.size() - at)};
}

std::span<std::uint32_t> Ring::inbox(std::size_t i, std::size_t words) {
  return {reinterpret_cast<std::uint32_t*>(inbox_.data()) + i % kWindow * kPieceWords, words};
}

void Ring::begin(const SumJob& job) {
  std::size_t largest = 0;
  for (int place = 0; place < size_; ++place) largest = std::max(largest, slice(job, place).size());
  pieces_ = std::max<std::size_t>(1, (largest + kPieceWords - 1) / kPieceWords);
  receives_posted_ = received_ = sends_posted_ = sent_ = job.movement == Movement::all_gather ? half() : 0;
  end_ = job.movement == Movement::reduce_scatter ? half() : 2 * half();
}

Advance Ring::advance(const SumJob& job) {
  if (pieces_ == 0) begin(job);
  const bool received = receive(job);
  const bool sent = send(job);
  if (sent_ == end_ && received_ == sent_) {
    pieces_ = receives_posted_ = received_ = sends_posted_ = sent_ = 0;
    return Advance::done;
  }
  return received || sent ? Advance::moved : Advance::waiting;
}

bool Ring::receive(const SumJob& job) {
  bool moved = false;
  while (receives_posted_ < end_ && receives_posted_ - received_ < kWindow) {
    const std::size_t i = receives_posted_;
    // A finished piece goes where a partial sum lay that was sent n - 1 steps before: it must have left.
    if (!adds(i) && sent_ <= i - half()) break;
    std::span<std::uint32_t> to = piece(job, i, 2);
    if (adds(i)) to = inbox(i, to.size());
    receive_words(mpi_, to, neighbour(-1), receives_[i % kWindow]);
    ++receives_posted_;
    moved = true;
  }
  if (received_ == receives_posted_ || !completed(receives_[received_ % kWindow])) return moved;
  if (adds(received_)) {
    const std::span<std::uint32_t> to = piece(job, received_, 2);
    add_words(to.data(), inbox(received_, to.size()).data(), to.size(), job.type);
  }
  ++received_;
  return true;
}

bool Ring::send(const SumJob& job) {
  const std::size_t ready = std::min(end_, received_ + pieces_);
  bool moved = false;
  while (sends_posted_ < ready && sends_posted_ - sent_ < kWindow) {
    send_words(mpi_, piece(job, sends_posted_, 1), neighbour(1), sends_[sends_posted_ % kWindow]);
    ++sends_posted_;
    moved = true;
  }
  if (sent_ == sends_posted_ || !completed(sends_[sent_ % kWindow])) return moved;
  ++sent_;
  return true;
}

std::string Ring::waiting_for() const {
  return fmt::format("rank {} to send piece {} or rank {} to take piece {} of a ring", neighbour(-1),
                     received_, neighbour(1), sent_);
}

}  // namespace rondo
