/// Transports: how spans of 32-bit words are summed over all ranks, in place.
///
/// A transport owns the memory that it reduces (`allocate`; device memory where it sums between devices), so
/// that ranks of one node can read each other's. Reductions are started in the same order on every rank,
/// every rank does its part of them in that order, and they progress when the rank calls `progress()` or
/// `finish()`; so a bucket can travel while backward goes on. Ranges that are pending at the same time do not
/// overlap.
///
/// Sums of int32 are taken mod 2^32 and are the same on every rank whatever the order. Sums of float32 are
/// the same on every rank but depend on their number.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rondo/comm/communicator.hpp"

namespace rondo {

enum class SumType { int32, float32 };
/// Who needs the sum of a range: all, or of each slice (slice_of) the rank that owns it. What other ranks
/// then have of that slice is not defined.
enum class SumTo { every_rank, owners };

/// Words [begin, end) of an allocation.
struct WordRange {
  std::size_t begin = 0, end = 0;
  std::size_t size() const { return end - begin; }
  friend bool operator==(WordRange, WordRange) = default;
};

/// Memory for reductions: every rank's part has the same size. `peers` is empty unless this transport
/// lets a rank see the memory of all others (`peers[rank] == own.data()`).
struct Arena {
  int id = 0;
  std::span<std::uint32_t> own;  ///< zeroed, aligned to 64 bytes
  std::vector<std::uint32_t*> peers;
};

class Transport {
 public:
  /// Reduces words [begin, end) of the peers' memory by itself: what a rank does to the slice it owns.
  using SliceWork = std::function<void(WordRange slice)>;

  virtual ~Transport() = default;
  virtual std::string_view name() const = 0;
  virtual bool shares_memory() const { return false; }  ///< whether arenas have peers
  virtual bool scatters() const { return false; }       ///< whether sums for their owners alone cost less
  /// Of how many bytes the buckets should be in which `bytes` bytes of a step leave: `least`, or more where a
  /// measurement has shown that latency is dear.
  virtual std::size_t bucket_bytes([[maybe_unused]] std::size_t bytes, std::size_t least) const {
    return least;
  }

  /// Memory for reductions. Collective: same order and size on every rank.
  virtual Arena allocate(std::size_t words) = 0;
  /// Memory whose slices have owners that alone write them, for share() and no sums. Where arenas have peers
  /// there is one such memory for all ranks: what an owner writes is everybody's at once, and nothing has to
  /// be copied. So nobody may read from when the first owner may write until share() returns.
  virtual Arena allocate_common(std::size_t words) { return allocate(words); }

  /// Starts the in-place sum of a range of an arena. Ranges are cut into slices at multiples of
  /// `kSliceWords`. The range belongs to the transport until finish() or progress() says it is done.
  virtual void start(const Arena& arena, WordRange range, SumType type, SumTo to = SumTo::every_rank) = 0;
  /// Only where arenas have peers: each rank runs `work` on the slice of `range` that it owns, once all
  /// ranks have started; done when all have run it. `work` may read and write that slice of every peer.
  virtual void start(WordRange range, SliceWork work) = 0;

  /// Does what can be done without waiting; true when nothing is pending.
  virtual bool progress() = 0;
  /// Waits until nothing is pending. Throws Error on a dead peer or after the deadline.
  virtual void finish() = 0;

  /// Gives every rank the slices (slice_of) that the others own of ranges of an arena: an all-gather in
  /// place. Waits; nothing else may be pending. Owners may write again once all ranks have joined the next
  /// combine().
  virtual void share(const Arena& arena, std::span<const WordRange> ranges) = 0;
  /// The tail of a step, small: sums `sums` mod 2^32 and takes the maximum of `maxima`, both in place on
  /// every rank. Sizes are the same on every rank. Waits; nothing else may be pending.
  virtual void combine(std::span<std::uint32_t> sums, std::span<std::uint32_t> maxima) = 0;
};

/// Slices and exponents are cut at blocks of this many words.
inline constexpr std::size_t kSliceWords = 1024;

/// The slice of a range that `rank` of `size` owns: contiguous, cut at blocks of kSliceWords counted from
/// the range's begin, sizes as equal as whole blocks allow.
WordRange slice_of(WordRange range, int rank, int size);

/// For host memory: "shared" (one node), "ring" and "hierarchical" (large messages), "tree" (small ones),
/// "mpi", or "auto": shared on one node, else by size, as a short measurement showed, which then knows the
/// sizes of buckets, too. InputError where it cannot work.
std::unique_ptr<Transport> make_transport(const std::string& algorithm, Communicator& comm);
/// For memory of a backend: that, or "nccl", which is "auto" between GPUs.
std::unique_ptr<Transport> make_transport(const std::string& algorithm, Communicator& comm,
                                          class Backend& backend);
/// The yardstick: one blocking MPI_Allreduce, in place if `from` is where `to` begins, for the bench.
void mpi_all_reduce(Communicator& comm, const std::uint32_t* from, std::span<std::uint32_t> to, SumType type);
/// The algorithms that work for these ranks, for the bench.
std::vector<std::string> available_algorithms(const Communicator& comm);
/// The same for memory of a backend.
std::vector<std::string> available_algorithms(const Communicator& comm, const class Backend& backend);

}  // namespace rondo
