/// "auto" across nodes: which algorithm sums messages of which size, and what size buckets should have, from
/// a short measurement that is kept.
///
/// The measurement takes about a second and is kept in $XDG_CACHE_HOME/rondo or ~/.cache/rondo of rank
/// 0's host, a file for each topology (hosts, ranks on each, MPI). A file that is missing, of another version
/// or broken means measuring again, one that cannot be written measuring the next time; neither is an error.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sum_algorithm.hpp"

namespace rondo {

/// Sums of `bytes` bytes take `seconds` by `algorithm`, which was the quickest; the smallest that were
/// measured take `latency` by it. Of choices in ascending order each holds for messages of up to twice its
/// bytes, the last for all larger ones.
struct Choice {
  std::size_t bytes;
  std::string algorithm;
  double seconds = 0, latency = 0;
  std::size_t most() const { return 2 * bytes; }
};

/// The choices for these ranks, the same on every rank. Collective.
std::vector<Choice> measured_choices(Communicator& comm);
/// The text of a cache file, and back: empty if the text is not one of these hosts.
std::string text_of_choices(const std::string& topology, std::span<const Choice> choices);
std::vector<Choice> choices_of_text(const std::string& topology, const std::string& text);
/// The size of buckets, `least` times a power of two, in which `total` bytes that become ready bit by bit
/// take the least time: all of them one after the other, and once more the last one, which nothing hides.
/// Where sums of n bytes take a + b n seconds that is sqrt(total a / b). a and b: as the last choice was
/// measured, by whose algorithm buckets go; `least` where it does not tell.
std::size_t best_bucket(std::span<const Choice> choices, std::size_t total, std::size_t least);

/// Hands each job to one of several algorithms, by its size. One algorithm may serve several sizes.
class BySize final : public SumAlgorithm {
 public:
  /// `algorithms`: of each choice.
  BySize(std::vector<Choice> choices, std::vector<std::shared_ptr<SumAlgorithm>> algorithms)
      : choices_(std::move(choices)), algorithms_(std::move(algorithms)) {}
  bool scatters() const override { return algorithms_.back()->scatters(); }
  std::size_t bucket_bytes(std::size_t bytes, std::size_t least) const override {
    return best_bucket(choices_, bytes, least);
  }
  /// All-gathers, which not every algorithm can do, go by that of the largest.
  Advance advance(const SumJob& job) override {
    words_ = job.movement == Movement::all_gather ? SIZE_MAX / sizeof(std::uint32_t) : job.words;
    return part().advance(job);
  }
  std::string waiting_for() const override { return part().waiting_for(); }

 private:
  SumAlgorithm& part() const;

  std::vector<Choice> choices_;
  std::vector<std::shared_ptr<SumAlgorithm>> algorithms_;
  std::size_t words_ = 0;  // of the current job
};

}  // namespace rondo
