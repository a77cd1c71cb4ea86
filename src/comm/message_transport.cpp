#include "message_transport.hpp"

#include <climits>

#include "rondo/core/error.hpp"

namespace rondo {

MessageTransport::MessageTransport(MpiCommunicator& comm)
    : comm_(comm), rank_(comm.rank()), size_(comm.size()), mpi_(comm.duplicate()) {}

Arena MessageTransport::allocate(std::size_t words) {
  memory_.push_back(private_memory(words * sizeof(std::uint32_t)));
  words_.push_back(words);
  return {static_cast<int>(memory_.size()) - 1,
          {reinterpret_cast<std::uint32_t*>(memory_.back().data()), words},
          {}};
}

void MessageTransport::start(const Arena& arena, WordRange range, SumType type) {
  RONDO_CHECK(arena.id >= 0 && arena.id < static_cast<int>(words_.size()) && range.begin <= range.end &&
                  range.end <= words_[arena.id],
              "words [{}, {}) are not in arena {} of transport \"{}\"", range.begin, range.end, arena.id,
              name());
  if (size_ == 1 || range.size() == 0) return;
  jobs_.push_back({arena.own.data() + range.begin, range.size(), type});
}

void MessageTransport::start(WordRange, SliceWork) {
  throw Error(fmt::format("transport \"{}\" cannot run work on slices: its arenas have no peers", name()));
}

bool MessageTransport::progress() {
  while (!jobs_.empty()) {
    const Advance now = advance(jobs_.front());
    if (now == Advance::waiting) return false;
    ++moves_;
    if (now == Advance::done) jobs_.pop_front();
  }
  return true;
}

void MessageTransport::finish() {
  Patience patience(comm_.timeout_s());
  for (std::uint64_t seen = moves_; !progress(); seen = moves_) {
    if (moves_ != seen) patience.moved();
    if (patience.pause()) comm_.look_round(patience, [this] { return waiting_for(); });
  }
}

void MessageTransport::share(const Arena& arena) {
  RONDO_CHECK(jobs_.empty(), "share() while a reduction is pending");
  for (int r = 0; r < size_; ++r) {
    const WordRange slice = slice_of({0, arena.own.size()}, r, size_);
    comm_.broadcast(std::as_writable_bytes(arena.own.subspan(slice.begin, slice.size())), r);
  }
}

void MessageTransport::combine(std::span<std::uint32_t> sums, std::span<std::uint32_t> maxima) {
  RONDO_CHECK(jobs_.empty(), "combine() while a reduction is pending");
  combine_by_messages(comm_, mpi_, sums, maxima);
}

void combine_by_messages(MpiCommunicator& comm, MPI_Comm mpi, std::span<std::uint32_t> sums,
                         std::span<std::uint32_t> maxima) {
  RONDO_CHECK(sums.size() <= INT_MAX && maxima.size() <= INT_MAX, "too many words for combine()");
  MPI_Request requests[2] = {MPI_REQUEST_NULL, MPI_REQUEST_NULL};
  const auto begin = [&](std::span<std::uint32_t> words, MPI_Op op, MPI_Request& request) {
    if (words.empty()) return;
    mpi_check(MPI_Iallreduce(MPI_IN_PLACE, words.data(), static_cast<int>(words.size()), MPI_UINT32_T, op,
                             mpi, &request),
              "MPI_Iallreduce");
  };
  begin(sums, MPI_SUM, requests[0]);
  begin(maxima, MPI_MAX, requests[1]);
  for (MPI_Request& request : requests) comm.wait(request, "all ranks to join the end of a step");
}

}  // namespace rondo
