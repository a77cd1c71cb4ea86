#include "tail.hpp"

#include <bit>

#include "rondo/core/clock.hpp"
#include "rondo/core/phase.hpp"
#include "rondo/core/trace.hpp"

namespace rondo {

void Tail::combine(Transport& transport, std::span<const double> losses, std::uint32_t request,
                   std::uint32_t fault) {
  enter(Phase::control_word);
  for (std::size_t i = 0; i < losses.size(); ++i) {
    const auto bits = std::bit_cast<std::uint64_t>(losses[i]);
    losses_[2 * i] = static_cast<std::uint32_t>(bits);
    losses_[2 * i + 1] = static_cast<std::uint32_t>(bits >> 32);
  }
  maxima_[maxima_.size() - 2] = request;
  maxima_.back() = fault;
  const double begin = now_s();
  transport.combine(losses_, maxima_);
  note_span(SpanKind::control, 0, begin, now_s());
}

std::vector<double> Tail::losses() const {
  std::vector<double> losses(losses_.size() / 2);
  for (std::size_t i = 0; i < losses.size(); ++i)
    losses[i] = std::bit_cast<double>(losses_[2 * i] | (std::uint64_t{losses_[2 * i + 1]} << 32));
  return losses;
}

}  // namespace rondo
