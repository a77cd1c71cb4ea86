#include "boards.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <new>

#include "rondo/core/error.hpp"

namespace rondo {

Boards::Boards(MpiCommunicator& comm, MpiCommunicator& node) : comm_(comm), ranks_(comm.ranks_here()) {
  const std::size_t part = whole_pages(sizeof(Board));
  memory_ = shared_memory(node, part);
  for (int r = 0; r < node.size(); ++r) {
    std::byte* place = memory_.data() + part * static_cast<std::size_t>(r);
    boards_.push_back(r == node.rank() ? new (place) Board{} : std::launder(reinterpret_cast<Board*>(place)));
  }
  own_ = boards_[node.rank()];
  node.barrier();  // no rank looks at a board before it is made
}

bool Boards::reached(Counter counter, std::uint64_t value) const {
  return std::all_of(boards_.begin(), boards_.end(), [&](const Board* board) {
    return (board->*counter).load(std::memory_order_acquire) >= value;
  });
}

void Boards::wait_for(Counter counter, std::uint64_t value, const char* what) {
  Patience patience(comm_.timeout_s());
  while (!reached(counter, value))
    if (patience.pause()) comm_.look_round(patience, [&] { return late(counter, value, what); });
}

std::string Boards::late(Counter counter, std::uint64_t value, const char* what) const {
  std::vector<int> ranks;
  for (std::size_t r = 0; r < boards_.size(); ++r)
    if ((boards_[r]->*counter).load(std::memory_order_relaxed) < value) ranks.push_back(ranks_[r]);
  return fmt::format("rank(s) {} to {}", fmt::join(ranks, ", "), what);
}

}  // namespace rondo
