#include "block_squares.hpp"

#include <bit>

namespace rondo {

std::vector<double> BlockSquares::of(GradientView gradient) {
  backend_.block_squares(gradient, static_cast<std::int64_t>(squares_.size()), squares_.data());
  return squares_.get();
}

// All ranks but one add zeros, so that sums are the bits of what it gave.
std::vector<double> BlockSquares::of(GradientView gradient, std::span<const WordRange> ranges,
                                     const Communicator& comm, Transport& transport) {
  if (ranges.empty()) return of(gradient);
  std::vector<BlockSpan> mine;
  for (const WordRange range : ranges) {
    const BlockSpan blocks = blocks_of(slice_of(range, comm.rank(), comm.size()));
    backend_.block_squares(gradient.from(blocks.begin), blocks.count(), squares_.data() + blocks.begin);
    mine.push_back(blocks);
  }
  std::vector<double> squares = squares_.get();
  std::vector<std::uint32_t> words(2 * squares.size());
  for (const BlockSpan blocks : mine)
    for (auto b = static_cast<std::size_t>(blocks.begin); b < static_cast<std::size_t>(blocks.end); ++b) {
      const auto bits = std::bit_cast<std::uint64_t>(squares[b]);
      words[2 * b] = static_cast<std::uint32_t>(bits);
      words[2 * b + 1] = static_cast<std::uint32_t>(bits >> 32);
    }
  transport.combine(words, {});
  for (std::size_t b = 0; b < squares.size(); ++b)
    squares[b] = std::bit_cast<double>(words[2 * b] | (std::uint64_t{words[2 * b + 1]} << 32));
  return squares;
}

}  // namespace rondo
