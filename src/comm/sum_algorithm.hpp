/// How one range is summed over ranks by messages, or its slices are given to all: step by step, without
/// waiting, in place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "mpi_communicator.hpp"
#include "rondo/comm/transport.hpp"

namespace rondo {

/// `reduce_scatter` leaves each rank with the sum of the slice that it owns, `all_gather` gives everybody the
/// slices of their owners; an all-reduce is the one and then the other.
enum class Movement { all_reduce, reduce_scatter, all_gather };

/// A range of an arena that is to be moved so: the same on every rank but for `data`.
struct SumJob {
  std::uint32_t* data;  ///< of this rank: arena + begin
  std::size_t words;
  SumType type;
  Movement movement = Movement::all_reduce;
  int arena = 0;
  std::size_t begin = 0;
};

enum class Advance { waiting, moved, done };

class SumAlgorithm {
 public:
  virtual ~SumAlgorithm() = default;
  /// Whether it has all three movements; else it makes an all-reduce of a reduce-scatter.
  virtual bool scatters() const { return false; }
  /// As Transport::bucket_bytes.
  virtual std::size_t bucket_bytes([[maybe_unused]] std::size_t bytes, std::size_t least) const {
    return least;
  }
  /// Does what can be done of a job without waiting. Called with one job until it is `done`, which leaves the
  /// algorithm ready for the next.
  virtual Advance advance(const SumJob& job) = 0;
  /// For messages: whom or what the current job waits for.
  virtual std::string waiting_for() const = 0;
};

/// Ranks in the order in which rings and trees link them, and where this one stands: neighbours share a node
/// where they can, so that few messages cross a link.
struct Circle {
  std::vector<int> ranks;
  int place = 0;
  int size() const { return static_cast<int>(ranks.size()); }
};
/// All ranks, by node.
Circle everybody(const MpiCommunicator& comm);

/// Pieces of messages: large enough for a link's rate, small enough to be added while the next arrives.
inline constexpr std::size_t kPieceWords = 64 * 1024;

/// to += from
void add_words(std::uint32_t* to, const std::uint32_t* from, std::size_t words, SumType type);
/// Whether a request is finished; null requests are.
bool completed(MPI_Request& request);
void send_words(MPI_Comm mpi, std::span<const std::uint32_t> words, int to, MPI_Request& request);
void receive_words(MPI_Comm mpi, std::span<std::uint32_t> words, int from, MPI_Request& request);

}  // namespace rondo
