/// Faults of a rank's memory in the way of the exchange: a transport that damages sums.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "rondo/comm/transport.hpp"
#include "rondo/core/philox.hpp"
#include "rondo/device/backend.hpp"
#include "rondo/nn/parameters.hpp"

namespace rondo {

/// What may go wrong with the words of a buffer.
enum class Fault { one_bit, same_bit_twice, two_words_swapped, stale_block, block_in_wrong_place };
inline constexpr Fault kFaults[] = {Fault::one_bit, Fault::same_bit_twice, Fault::two_words_swapped,
                                    Fault::stale_block, Fault::block_in_wrong_place};

inline std::size_t drawn(std::uint32_t seed, std::uint64_t n, std::size_t below) {
  return RandomStream{seed, Purpose::test, 1, 0}.block(n)[0] % below;
}
inline std::size_t place_of(std::uint32_t seed, std::size_t words) { return drawn(seed, 0, words); }

/// Does that to `now`, of which `before` is what it was a step ago. Where: drawn from `seed`.
inline void damage(Fault fault, std::vector<std::uint32_t>& now, const std::vector<std::uint32_t>& before,
                   std::uint32_t seed) {
  const auto draw = [&](std::uint64_t n, std::size_t below) { return drawn(seed, n, below); };
  const std::size_t i = place_of(seed, now.size()), block = i / kBlock * kBlock;
  std::size_t j = block + draw(1, kBlock);
  switch (fault) {
    case Fault::one_bit:
      now[i] ^= 1u << draw(2, 32);
      break;
    case Fault::same_bit_twice:
      if (j == i) j ^= 1;
      now[i] ^= 1u << draw(2, 32);
      now[j] ^= 1u << draw(2, 32);
      break;
    case Fault::two_words_swapped:
      while (now[i] == now[j]) j = (j + 1) % now.size();
      std::swap(now[i], now[j]);
      break;
    case Fault::stale_block:
      std::copy_n(before.begin() + block, kBlock, now.begin() + block);
      break;
    case Fault::block_in_wrong_place:
      std::copy_n(now.begin() + block, kBlock, now.begin() + (block + kBlock) % now.size());
      break;
  }
}

/// Hands everything on, and, once told to, damages a rank's sums behind their checksums' back: before they
/// are summed or, where they travel, after.
class BadMemory : public Transport {
 public:
  BadMemory(const std::string& algorithm, Backend& backend, Communicator& comm)
      : rank_(comm.rank()), backend_(backend), inner_(make_transport(algorithm, comm, backend)) {}
  void damage_on(int rank, Fault fault, bool after, std::uint32_t seed) {
    if (rank == rank_) armed_ = Armed{fault, after, seed};
  }
  bool hands_on() const { return !inner_->shares_memory(); }
  /// Buckets do not wait for the last one, and no damage is done.
  void lets_pass() { passes_ = true; }

  std::string_view name() const override { return inner_->name(); }
  bool scatters() const override { return inner_->scatters(); }
  Arena allocate(std::size_t words) override {
    const Arena arena = inner_->allocate(words);
    if (sums_.own.empty()) sums_ = arena;
    return arena;
  }
  void start(const Arena& arena, WordRange range, SumType type, SumTo to) override {
    if (arena.id != sums_.id) return inner_->start(arena, range, type, to);
    hold(range, [=, this] { inner_->start(sums_, range, type, to); });
  }
  void start(WordRange range, SliceWork work) override {
    hold(range, [=, this] { inner_->start(range, work); });
  }
  bool progress() override { return inner_->progress(); }
  void finish() override {
    inner_->finish();
    if (armed_ && armed_->after) damage_now();
  }
  void share(const Arena& arena, std::span<const WordRange> ranges) override { inner_->share(arena, ranges); }
  void combine(std::span<std::uint32_t> sums, std::span<std::uint32_t> maxima) override {
    inner_->combine(sums, maxima);
  }

 private:
  struct Armed {
    Fault fault;
    bool after;
    std::uint32_t seed;
  };

  // All buckets wait here for the last, so that nothing has been summed when damage is done.
  void hold(WordRange range, std::function<void()> start) {
    if (passes_) return start();
    held_.push_back(std::move(start));
    if (range.end != sums_.own.size()) return;
    before_ = std::exchange(last_, contents());
    if (armed_ && !armed_->after) damage_now();
    for (const auto& go : std::exchange(held_, {})) go();
  }
  std::vector<std::uint32_t> contents() {
    std::vector<std::uint32_t> words(sums_.own.size());
    backend_.copy_out(words.data(), sums_.own.data(), words.size() * sizeof words[0]);
    return words;
  }
  void damage_now() {
    std::vector<std::uint32_t> words = contents();
    damage(armed_->fault, words, before_, armed_->seed);
    backend_.copy_in(sums_.own.data(), words.data(), words.size() * sizeof words[0]);
    armed_.reset();
  }
  int rank_;
  Backend& backend_;
  std::unique_ptr<Transport> inner_;
  Arena sums_;
  bool passes_ = false;
  std::optional<Armed> armed_;
  std::vector<std::function<void()>> held_;
  std::vector<std::uint32_t> before_, last_;  // a step ago and now
};

}  // namespace rondo
