// Sums over ranks of whole blocks of int32, each verified by its checksum (kChecksumPrime says how): the
// owner of a slice looks at once where ranks share memory, every rank when sums have arrived where they
// travel.
#pragma once

#include <cstdint>

#include "buckets.hpp"
#include "rondo/device/array.hpp"
#include "rondo/device/simd.hpp"
#include "rondo/exchange/exchange.hpp"

namespace rondo {

class CheckedSums {
 public:
  /// `sums`: whole blocks of kSliceWords. `scattered`: the ranges of which each rank gets the sums of its own
  /// slices alone; empty: everybody gets all. Collective: allocates.
  CheckedSums(Backend& backend, Transport& transport, Arena sums, const Communicator& comm,
              std::vector<WordRange> scattered = {});

  /// One a block, from `block` on, of this rank's part: to be filled before the block's bucket starts; null
  /// where nobody looks. No part or sum of a block may overflow an int32.
  std::uint32_t* checksums(std::int64_t block) { return alone_ ? nullptr : checksums_.own.data() + block; }
  /// In place of filling them: this rank's part is all zeros.
  void clear_checksums();
  void begin() { fault_ = 0; }
  void start(WordRange bucket);
  /// After the last bucket.
  void start_checksums();
  /// After the transport has finished.
  void verify();
  /// Which rank found a wrong sum in which block, as one word that is comparable; 0 is none.
  std::uint32_t fault() const { return fault_; }
  static Corruption named(std::uint32_t fault, const Buckets& buckets);

 private:
  bool shares_memory() const { return !sums_.peers.empty(); }
  void sum_and_verify(WordRange slice);
  void blame(std::size_t block);

  Backend& backend_;
  Transport& transport_;
  Arena sums_, checksums_;
  int rank_;
  std::vector<BlockSpan> mine_;  // blocks of which this rank gets the sums
  SumTo to_;
  bool alone_;  // the sum of one rank is there already, and does not travel
  DeviceArray<std::uint32_t> checksums_of_sums_;
  std::uint32_t fault_ = 0;  // found by this rank in this pass
};

}  // namespace rondo
