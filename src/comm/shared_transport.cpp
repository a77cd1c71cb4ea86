#include "shared_transport.hpp"

#include <algorithm>
#include <cstring>
#include <new>

#include "rondo/core/clock.hpp"
#include "rondo/core/error.hpp"
#include "rondo/core/trace.hpp"
#include "rondo/device/simd.hpp"

namespace rondo {

SharedTransport::SharedTransport(MpiCommunicator& comm)
    : comm_(comm), rank_(comm.rank()), size_(comm.size()) {
  if (!comm.single_node())
    input_error(
        "exchange.algorithm = \"shared\" needs all ranks on one node, but only {} of {} are on this one; use "
        "\"auto\" or \"ring\"",
        comm.local_size(), size_);
  const std::size_t part = whole_pages(sizeof(Board));
  board_memory_ = shared_memory(comm, part);
  for (int r = 0; r < size_; ++r) {
    std::byte* place = board_memory_.data() + part * static_cast<std::size_t>(r);
    boards_.push_back(r == rank_ ? new (place) Board{} : std::launder(reinterpret_cast<Board*>(place)));
  }
  comm.barrier();  // no rank looks at a board before it is made
}

Arena SharedTransport::allocate(std::size_t words) {
  const std::size_t part = whole_pages(words * sizeof(std::uint32_t));
  memory_.push_back(shared_memory(comm_, part));
  words_.push_back(words);
  std::vector<std::uint32_t*> peers;
  for (int r = 0; r < size_; ++r)
    peers.push_back(
        reinterpret_cast<std::uint32_t*>(memory_.back().data() + part * static_cast<std::size_t>(r)));
  peers_.push_back(peers);
  return {static_cast<int>(peers_.size()) - 1, {peers[rank_], words}, peers};
}

void SharedTransport::start(const Arena& arena, WordRange range, SumType type) {
  RONDO_CHECK(arena.id >= 0 && arena.id < static_cast<int>(words_.size()) && range.begin <= range.end &&
                  range.end <= words_[arena.id],
              "words [{}, {}) are not in arena {} of transport \"shared\"", range.begin, range.end, arena.id);
  push({range, {}, arena.id, type});
}

void SharedTransport::start(WordRange range, SliceWork work) {
  RONDO_CHECK(work && range.begin <= range.end, "words [{}, {}) or their work are not valid", range.begin,
              range.end);
  push({range, std::move(work)});
}

void SharedTransport::push(Job job) {
  if (trace() != nullptr) in_flight_.push_back({job.range.size(), now_s()});
  jobs_.push_back(std::move(job));
  boards_[rank_]->started.store(++started_, std::memory_order_release);
}

bool SharedTransport::reached(Count Board::*counter, std::uint64_t value) const {
  return std::all_of(boards_.begin(), boards_.end(), [&](const Board* board) {
    return (board->*counter).load(std::memory_order_acquire) >= value;
  });
}

void SharedTransport::note_done() {
  while (!in_flight_.empty() && reached(&Board::reduced, started_ - in_flight_.size() + 1)) {
    const auto [words, since] = in_flight_.front();
    note_span(Phase::bucket, static_cast<std::int64_t>(started_ - in_flight_.size()), since, now_s(),
              static_cast<std::uint32_t>(words * sizeof(std::uint32_t)));
    in_flight_.pop_front();
  }
}

bool SharedTransport::progress() {
  while (!jobs_.empty() && reached(&Board::started, reduced_ + 1)) {
    run(jobs_.front());
    jobs_.pop_front();
    boards_[rank_]->reduced.store(++reduced_, std::memory_order_release);
  }
  note_done();
  return jobs_.empty() && reached(&Board::reduced, started_);
}

void SharedTransport::run(const Job& job) {
  const WordRange slice = slice_of(job.range, rank_, size_);
  if (job.work) {
    job.work(slice);
  } else {
    const auto sum_all = job.type == SumType::int32 ? simd().sum_all_i32 : simd().sum_all_f32;
    sum_all(peers_[job.arena].data(), size_, slice.begin, slice.end);
  }
}

void SharedTransport::finish() {
  while (!jobs_.empty()) {
    wait_for(&Board::started, reduced_ + 1, "start a reduction");
    progress();
  }
  while (!in_flight_.empty()) {
    wait_for(&Board::reduced, started_ - in_flight_.size() + 1, "reduce a slice");
    note_done();
  }
  wait_for(&Board::reduced, started_, "reduce a slice");
}

void SharedTransport::wait_for(Count Board::*counter, std::uint64_t value, const char* what) {
  Patience patience(comm_.timeout_s());
  while (!reached(counter, value)) {
    if (!patience.pause()) continue;
    comm_.look_round(patience, [&] {
      std::vector<int> late;
      for (int r = 0; r < size_; ++r)
        if ((boards_[r]->*counter).load(std::memory_order_relaxed) < value) late.push_back(r);
      return fmt::format("rank(s) {} to {}", fmt::join(late, ", "), what);
    });
  }
}

void SharedTransport::meet() {
  boards_[rank_]->rounds.store(++rounds_, std::memory_order_release);
  wait_for(&Board::rounds, rounds_, "join the end of a step");
}

void SharedTransport::share(const Arena& arena) {
  RONDO_CHECK(started_ == reduced_, "share() while a reduction is pending");
  meet();
  for (int r = 0; r < size_; ++r) {
    const WordRange slice = slice_of({0, arena.own.size()}, r, size_);
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
