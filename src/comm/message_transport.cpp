#include "message_transport.hpp"

#include <climits>

#include "rondo/core/error.hpp"

namespace rondo {
MessageTransport::MessageTransport(std::string name, MpiCommunicator& comm, MPI_Comm mpi,
                                   std::unique_ptr<NodeMemory> memory,
                                   std::unique_ptr<SumAlgorithm> algorithm)
    : name_(std::move(name)),
      comm_(comm),
      mpi_(mpi),
      node_memory_(std::move(memory)),
      algorithm_(std::move(algorithm)),
      around_(mpi, everybody(comm), comm.size()) {}

Arena MessageTransport::allocate(std::size_t words) {
  std::uint32_t* own = nullptr;
  if (node_memory_) {
    own = node_memory_->allocate(words);
  } else {
    private_memory_.push_back(private_memory(words * sizeof(std::uint32_t)));
    own = reinterpret_cast<std::uint32_t*>(private_memory_.back().data());
  }
  words_.push_back(words);
  return {static_cast<int>(words_.size()) - 1, {own, words}, {}};
}

void MessageTransport::start(const Arena& arena, WordRange range, SumType type, SumTo to) {
  RONDO_CHECK(arena.id >= 0 && arena.id < static_cast<int>(words_.size()) && range.begin <= range.end &&
                  range.end <= words_[arena.id],
              "words [{}, {}) are not in arena {} of transport \"{}\"", range.begin, range.end, arena.id,
              name());
  if (comm_.size() == 1 || range.size() == 0) return;
  in_flight_.started(range.size());
  const Movement movement = to == SumTo::owners ? Movement::reduce_scatter : Movement::all_reduce;
  jobs_.push_back({arena.own.data() + range.begin, range.size(), type, movement, arena.id, range.begin});
}

void MessageTransport::start(WordRange, SliceWork) {
  throw Error(fmt::format("transport \"{}\" cannot run work on slices: its arenas have no peers", name()));
}

bool MessageTransport::progress() {
  while (!jobs_.empty()) {
    const Advance now = algorithm_->advance(jobs_.front());
    if (now == Advance::waiting) return false;
    if (now == Advance::done) next_job();
  }
  return true;
}

void MessageTransport::finish() {
  for (; !jobs_.empty(); next_job())
    drive([this] { return algorithm_->advance(jobs_.front()); }, *algorithm_);
}

void MessageTransport::drive(const std::function<Advance()>& advance, const SumAlgorithm& algorithm) {
  Patience patience(comm_.timeout_s());
  for (;;) {
    const Advance now = advance();
    if (now == Advance::done) return;
    if (now == Advance::moved)
      patience.moved();
    else if (patience.pause())
      comm_.look_round(patience, [&] { return algorithm.waiting_for(); });
  }
}

void MessageTransport::share(const Arena& arena, std::span<const WordRange> ranges) {
  RONDO_CHECK(jobs_.empty(), "share() while a reduction is pending");
  if (comm_.size() == 1) return;
  SumAlgorithm& by = algorithm_->scatters() ? *algorithm_ : around_;
  for (const WordRange range : ranges) {
    const SumJob job{arena.own.data() + range.begin, range.size(), SumType::int32,
                     Movement::all_gather,           arena.id,     range.begin};
    drive([&] { return by.advance(job); }, by);
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
  try {
    for (MPI_Request& request : requests) comm.wait(request, "all ranks to join the end of a step");
  } catch (const RankLost&) {
    for (MPI_Request& request : requests) settle(mpi, request);
    throw;
  }
}

}  // namespace rondo
