// Sums over ranks of whole blocks, each verified. Where ranks share memory the owner of a slice sees
// whether every rank's part of a block is as it was sealed (seal_weight says how). Where sums travel, every
// rank checks what has arrived by the sum of checksums (kChecksumPrime).
#pragma once

#include <cstdint>
#include <span>

#include "buckets.hpp"
#include "rondo/device/array.hpp"
#include "rondo/device/simd.hpp"
#include "rondo/exchange/exchange.hpp"

namespace rondo {

class CheckedSums {
 public:
  /// `sums`: whole blocks of kSliceWords. `scattered`: the ranges of which each rank gets the sums of its own
  /// slices alone; empty: everybody gets all. Collective: allocates.
  /// `buckets`, in which they leave, outlives this.
  CheckedSums(Backend& backend, Transport& transport, Arena sums, const Communicator& comm,
              const Buckets& buckets, std::vector<WordRange> scattered = {});

  /// Whether each rank can see the others' parts, so that these want seals and not checksums.
  bool sealed() const { return !sums_.peers.empty(); }
  /// One a block, from `block` on, of this rank's part, seals or checksums: to be filled before the block's
  /// bucket starts; null where nobody looks. Where they are no seals no part or sum of a block may overflow
  /// an int32.
  std::uint32_t* checks(std::int64_t block) { return alone_ ? nullptr : checks_.own.data() + block; }
  /// Fills them for whole blocks.
  void check(BlockSpan blocks);
  /// In place of filling them: this rank's part is all zeros.
  void clear_checks();
  void begin() { fault_ = 0; }
  void start(WordRange bucket);
  /// After the last bucket.
  void start_checksums();
  /// After the transport has finished.
  void verify();
  /// Where sealed, for who sums by itself what others can see: room for the seals of one block, one a rank;
  /// and the comparison of those with the ranks' checks, this rank's perhaps left out.
  std::span<std::uint32_t> seals() { return seals_; }
  void verify_seals(std::size_t block, bool with_own = true);
  /// What this rank has found, as one word that is comparable; 0 is nothing. To be read with named().
  std::uint32_t fault() const { return fault_; }
  static Corruption named(std::uint32_t fault);

 private:
  void verify_and_sum(WordRange slice);
  void blame(int rank, std::size_t block);

  Backend& backend_;
  Transport& transport_;
  Arena sums_, checks_;
  const Buckets& buckets_;
  int rank_;
  std::vector<BlockSpan> mine_;  // blocks of which this rank gets the sums
  SumTo to_;
  bool alone_;  // the sum of one rank is there already, and does not travel
  DeviceArray<std::uint32_t> checksums_of_sums_;
  std::vector<std::uint32_t> seals_;  // of one block, by rank
  std::uint32_t fault_ = 0;           // found by this rank in this pass
};

}  // namespace rondo
