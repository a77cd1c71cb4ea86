#include "tree.hpp"

#include <algorithm>
#include <bit>

#include "rondo/core/error.hpp"

namespace rondo {

Tree::Tree(MPI_Comm mpi, const Circle& circle)
    : mpi_(mpi), inbox_(private_memory(kPieceWords * sizeof(std::uint32_t))) {
  const int size = circle.size(), place = circle.place;
  const int core = static_cast<int>(std::bit_floor(static_cast<unsigned>(size))), excess = size - core;
  const auto rank = [&](int p) { return circle.ranks[p]; };
  if (place < 2 * excess && place % 2 == 0) {
    steps_ = {{Kind::give, rank(place + 1)}, {Kind::take, rank(place + 1)}};
    return;
  }
  const bool helps = place < 2 * excess;
  if (helps) steps_.push_back({Kind::add, rank(place - 1)});
  const int mine = helps ? place / 2 : place - excess;
  for (int distance = 1; distance < core; distance *= 2) {
    const int other = mine ^ distance;
    steps_.push_back({Kind::swap, rank(other < excess ? 2 * other + 1 : other + excess)});
  }
  if (helps) steps_.push_back({Kind::give, rank(place - 1)});
}

Tree::~Tree() {
  for (MPI_Request* request : {&send_, &receive_}) settle(mpi_, *request);
}

Advance Tree::advance(const SumJob& job) {
  const std::size_t words = std::min(kPieceWords, job.words - at_);
  const Step& step = steps_[step_];
  const std::span<std::uint32_t> here(job.data + at_, words),
      inbox(reinterpret_cast<std::uint32_t*>(inbox_.data()), words);
  if (!posted_) {
    if (step.kind != Kind::give)
      receive_words(mpi_, step.kind == Kind::take ? here : inbox, step.partner, receive_);
    if (step.kind == Kind::give || step.kind == Kind::swap) send_words(mpi_, here, step.partner, send_);
    posted_ = true;
  }
  if (!completed(receive_) || !completed(send_)) return Advance::waiting;
  if (step.kind == Kind::add || step.kind == Kind::swap)
    add_words(here.data(), inbox.data(), words, job.type);
  posted_ = false;
  if (++step_ < steps_.size()) return Advance::moved;
  step_ = 0;
  at_ += words;
  if (at_ < job.words) return Advance::moved;
  at_ = 0;
  return Advance::done;
}

std::string Tree::waiting_for() const {
  return fmt::format("rank {} in exchange {} of a tree", steps_[step_].partner, step_);
}

}  // namespace rondo
