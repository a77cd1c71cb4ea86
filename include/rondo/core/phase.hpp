/// Where this process stands in its training: step, phase and bucket, for whoever watches over it.
///
/// The thread that trains says where it goes; that costs a relaxed load and store of one word. Any thread may
/// read the word: it changes whenever there is progress.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace rondo {

/// In the order in which they come within the step of one number: what follows the update of step n - 1
/// counts as step n, as its checkpoint does.
enum class Phase : std::uint8_t {
  starting,
  evaluation,
  checking,  ///< comparing the state of all ranks
  checkpoint,
  loading,
  forward,
  backward,
  exchange,      ///< waiting for sums of gradients
  control_word,  ///< the step's common decision
  optimizer,
  sharing,     ///< fetching what other ranks updated
  leaving,     ///< trained; reporting and going
  recovery,    ///< a loss was noticed; whoever still has to notice it is behind
  regrouping,  ///< waiting for the other survivors, until the step in flight begins again
  restoring    ///< fetching what the dead had from their mirrors
};
inline constexpr int kPhases = 15;
std::string_view name_of(Phase phase);
std::optional<Phase> phase_of(std::string_view name);

struct Position {
  std::int64_t step = 0;  ///< at most 2^31
  int bucket = 0;         ///< buckets sent in this step
  Phase phase = Phase::starting;

  /// As one word; `entries` makes the word of each entry another one.
  static constexpr std::uint64_t kEntry = 1 << 20;
  static constexpr Position of(std::uint64_t word) {
    return {static_cast<std::int64_t>(word >> 32), static_cast<int>(word >> 8 & 0xfff),
            static_cast<Phase>(word & 0xff)};
  }
  /// Comparable: whoever has the smaller one is behind.
  std::int64_t progress() const { return step * kPhases + static_cast<int>(phase); }
};

namespace detail {
inline std::atomic<std::uint64_t> position{0};
inline std::vector<void (*)()> listeners;
inline void move_to(std::uint64_t word) {
  position.store(word, std::memory_order_relaxed);
  for (void (*hear)() : listeners) hear();
}
}  // namespace detail

/// From here on `hear` is called at every entry to a phase and for every bucket, by the thread that trains:
/// for profilers, and for faults on demand. Only before training begins.
inline void on_entry(void (*hear)()) { detail::listeners.push_back(hear); }

/// Whoever waits for other ranks counts that up about once a millisecond: so it is known from a rank that
/// hangs in the same phase.
inline std::atomic<std::uint32_t> looks_round{0};
inline void note_wait() {
  looks_round.store(looks_round.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

inline std::uint64_t position_word() { return detail::position.load(std::memory_order_relaxed); }

/// The next step begins, or training does at this one.
inline void enter_step(std::int64_t step) {
  detail::position.store(static_cast<std::uint64_t>(step) << 32, std::memory_order_relaxed);
}
/// A phase begins, or the next piece of it. Entries are counted mod 4096 beside the phase.
inline void enter(Phase phase) {
  const std::uint64_t word = position_word(), entries = (word + Position::kEntry) & 0xfff00000;
  detail::move_to((word & 0xffffffff000fff00) | entries | static_cast<std::uint64_t>(phase));
}
/// The next bucket of gradients leaves.
inline void enter_bucket() {
  const std::uint64_t word = position_word();
  detail::move_to((word & ~std::uint64_t{0xfff00}) | ((word + 0x100) & 0xfff00));
}

}  // namespace rondo
