#include "shared_transport.hpp"

#include <algorithm>
#include <cstring>

#include "rondo/core/error.hpp"
#include "rondo/device/simd.hpp"

namespace rondo {

namespace {

MpiCommunicator& on_one_node(MpiCommunicator& comm) {
  if (!comm.single_node())
    input_error(
        "exchange.algorithm = \"shared\" needs all ranks on one node, but only {} of {} are on this one; use "
        "\"auto\" or \"hierarchical\"",
        comm.local_size(), comm.size());
  return comm;
}

}  // namespace

SharedTransport::SharedTransport(MpiCommunicator& comm)
    : comm_(on_one_node(comm)), rank_(comm.rank()), size_(comm.size()), boards_(comm, comm) {}

Arena SharedTransport::allocate(std::size_t words) {
  const std::size_t part = whole_pages(words * sizeof(std::uint32_t));
  Allocation made{shared_memory(comm_, part), {}, words};
  for (int r = 0; r < size_; ++r)
    made.peers.push_back(
        reinterpret_cast<std::uint32_t*>(made.memory.data() + part * static_cast<std::size_t>(r)));
  return keep(std::move(made));
}

// Every rank places a part of the pages, about those that it owns where one range is all.
Arena SharedTransport::allocate_common(std::size_t words) {
  const auto ranks = static_cast<std::size_t>(size_);
  Allocation made{shared_memory(comm_, whole_pages((words * sizeof(std::uint32_t) + ranks - 1) / ranks)),
                  {},
                  words,
                  true};
  made.peers.assign(ranks, reinterpret_cast<std::uint32_t*>(made.memory.data()));
  return keep(std::move(made));
}

Arena SharedTransport::keep(Allocation allocation) {
  arenas_.push_back(std::move(allocation));
  const Allocation& kept = arenas_.back();
  return {static_cast<int>(arenas_.size()) - 1,
          {kept.peers[static_cast<std::size_t>(rank_)], kept.words},
          kept.peers};
}

void SharedTransport::start(const Arena& arena, WordRange range, SumType type, SumTo to) {
  RONDO_CHECK(arena.id >= 0 && arena.id < static_cast<int>(arenas_.size()) && range.begin <= range.end &&
                  range.end <= arenas_[arena.id].words,
              "words [{}, {}) are not in arena {} of transport \"shared\"", range.begin, range.end, arena.id);
  RONDO_CHECK(!arenas_[arena.id].common, "arena {} of transport \"shared\" is common: no sums", arena.id);
  push({range, {}, arena.id, type, to});
}

void SharedTransport::start(WordRange range, SliceWork work) {
  RONDO_CHECK(work && range.begin <= range.end, "words [{}, {}) or their work are not valid", range.begin,
              range.end);
  push({range, std::move(work)});
}

void SharedTransport::push(Job job) {
  in_flight_.started(job.range.size());
  jobs_.push_back(std::move(job));
  boards_.announce(&Boards::Board::started, ++started_);
}

bool SharedTransport::progress() {
  while (!jobs_.empty() && boards_.reached(&Boards::Board::started, reduced_ + 1)) {
    run(jobs_.front());
    jobs_.pop_front();
    boards_.announce(&Boards::Board::reduced, ++reduced_);
  }
  while (in_flight_.count() > 0 &&
         boards_.reached(&Boards::Board::reduced, started_ - in_flight_.count() + 1))
    in_flight_.done();
  return jobs_.empty() && boards_.reached(&Boards::Board::reduced, started_);
}

void SharedTransport::run(const Job& job) {
  const WordRange slice = slice_of(job.range, rank_, size_);
  if (job.work) {
    job.work(slice);
  } else {
    const auto sum = job.type == SumType::int32 ? simd().sum_i32 : simd().sum_f32;
    sum(arenas_[job.arena].peers.data(), size_, slice.begin, slice.end,
        job.to == SumTo::owners ? rank_ : kEveryRank);
  }
}

void SharedTransport::finish() {
  while (!jobs_.empty()) {
    boards_.wait_for(&Boards::Board::started, reduced_ + 1, "start a reduction");
    progress();
  }
  for (; in_flight_.count() > 0; in_flight_.done())
    boards_.wait_for(&Boards::Board::reduced, started_ - in_flight_.count() + 1, "reduce a slice");
  boards_.wait_for(&Boards::Board::reduced, started_, "reduce a slice");
}

void SharedTransport::meet() {
  boards_.announce(&Boards::Board::rounds, ++rounds_);
  boards_.wait_for(&Boards::Board::rounds, rounds_, "join the end of a step");
}

void SharedTransport::share(const Arena& arena, std::span<const WordRange> ranges) {
  RONDO_CHECK(started_ == reduced_, "share() while a reduction is pending");
  meet();
  if (arenas_[arena.id].common) return;
  for (const WordRange range : ranges)
    for (int r = 0; r < size_; ++r) {
      const WordRange slice = slice_of(range, r, size_);
      if (r != rank_)
        std::memcpy(arena.own.data() + slice.begin, arena.peers[r] + slice.begin,
                    slice.size() * sizeof(std::uint32_t));
    }
}

// Two places alternate: a rank that writes round n + 2 has seen all ranks in round n + 1, so nobody reads
// round n any more.
std::uint32_t* SharedTransport::round_words(int rank) const {
  auto* words = reinterpret_cast<std::uint32_t*>(round_memory_.data());
  return words + (static_cast<std::size_t>(rank) * 2 + rounds_ % 2) * round_capacity_;
}

void SharedTransport::combine(std::span<std::uint32_t> sums, std::span<std::uint32_t> maxima) {
  RONDO_CHECK(started_ == reduced_, "combine() while a reduction is pending");
  const std::size_t words = sums.size() + maxima.size();
  if (words > round_capacity_) {  // so on every rank
    const std::size_t part = whole_pages(2 * 2 * words * sizeof(std::uint32_t));
    round_memory_ = shared_memory(comm_, part);
    round_capacity_ = part / sizeof(std::uint32_t) / 2;
  }
  std::vector<std::uint32_t*> theirs;
  for (int r = 0; r < size_; ++r) theirs.push_back(round_words(r));
  std::copy(sums.begin(), sums.end(), theirs[rank_]);
  std::copy(maxima.begin(), maxima.end(), theirs[rank_] + sums.size());
  meet();
  for (int r = 0; r < size_; ++r) {
    if (r == rank_) continue;
    simd().add_i32(sums.data(), theirs[r], sums.size());
    const std::uint32_t* other = theirs[r] + sums.size();
    for (std::size_t i = 0; i < maxima.size(); ++i) maxima[i] = std::max(maxima[i], other[i]);
  }
}

}  // namespace rondo
