#include "tail.hpp"

#include <bit>
#include <cmath>

#include "rondo/core/clock.hpp"
#include "rondo/core/phase.hpp"
#include "rondo/core/trace.hpp"

namespace rondo {

void Tail::combine(Transport& transport, const StepReport& mine, std::uint32_t fault) {
  enter(Phase::control_word);
  std::ranges::fill(sums_, 0u);
  for (std::size_t i = 0; i < mine.losses.size(); ++i) {
    const auto bits = std::bit_cast<std::uint64_t>(mine.losses[i]);
    sums_[2 * i] = static_cast<std::uint32_t>(bits);
    sums_[2 * i + 1] = static_cast<std::uint32_t>(bits >> 32);
  }
  sums_[2 * micro_batches_ + rank_] = std::bit_cast<std::uint32_t>(mine.seconds);
  maxima_[own_] = fault;
  maxima_[own_ + 1] = mine.request;
  maxima_[own_ + 2] = std::bit_cast<std::uint32_t>(mine.length);  // others add 0
  const double begin = now_s();
  transport.combine(sums_, maxima_);
  comm_.commit();
  note_span(SpanKind::control, 0, begin, now_s());
}

StepOutcome Tail::outcome() const {
  StepOutcome outcome;
  for (std::size_t i = 0; i < micro_batches_; ++i)
    outcome.losses.push_back(std::bit_cast<double>(sums_[2 * i] | (std::uint64_t{sums_[2 * i + 1]} << 32)));
  for (std::size_t i = 2 * micro_batches_; i < sums_.size(); ++i)
    outcome.seconds.push_back(std::bit_cast<float>(sums_[i]));
  outcome.request = maxima_[own_ + 1];
  outcome.length = std::bit_cast<float>(maxima_[own_ + 2]);
  if (!std::ranges::all_of(outcome.losses, [](double x) { return std::isfinite(x); }))
    outcome.verdict = Verdict::not_finite;
  return outcome;
}

}  // namespace rondo
