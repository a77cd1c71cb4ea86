/// "auto" across nodes: which algorithm sums messages of which size, from a short measurement that is kept.
///
/// The measurement takes less than a second and is kept in $XDG_CACHE_HOME/rondo or ~/.cache/rondo of rank
/// 0's host, a file for each topology (hosts, ranks on each, MPI). A file that is missing, of another version
/// or broken means measuring again, one that cannot be written measuring the next time; neither is an error.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "sum_algorithm.hpp"

namespace rondo {

/// Messages of up to `bytes` bytes go by `algorithm`; ascending, and the last holds for all larger ones.
struct Choice {
  std::size_t bytes;
  std::string algorithm;
};

/// The choices for these ranks, the same on every rank. Collective.
std::vector<Choice> measured_choices(Communicator& comm);
/// The text of a cache file, and back: empty if the text is not one of these hosts.
std::string text_of_choices(const std::string& topology, std::span<const Choice> choices);
std::vector<Choice> choices_of_text(const std::string& topology, const std::string& text);

/// Hands each job to one of several algorithms, by its size. One algorithm may serve several sizes.
class BySize final : public SumAlgorithm {
 public:
  using Part = std::pair<std::size_t, std::shared_ptr<SumAlgorithm>>;  // as Choice
  explicit BySize(std::vector<Part> parts) : parts_(std::move(parts)) {}
  bool scatters() const override { return parts_.back().second->scatters(); }
  /// All-gathers, which not every algorithm can do, go by that of the largest.
  Advance advance(const SumJob& job) override {
    words_ = job.movement == Movement::all_gather ? SIZE_MAX / sizeof(std::uint32_t) : job.words;
    return part().advance(job);
  }
  std::string waiting_for() const override { return part().waiting_for(); }

 private:
  SumAlgorithm& part() const;

  std::vector<Part> parts_;
  std::size_t words_ = 0;  // of the current job
};

}  // namespace rondo
