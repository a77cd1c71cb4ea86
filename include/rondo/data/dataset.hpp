/// Datasets, the order in which they are visited, and the thread that fetches ahead.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace rondo {

class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual std::int64_t size() const = 0;     ///< samples
  virtual std::int64_t inputs() const = 0;   ///< values of a sample's input
  virtual std::int64_t targets() const = 0;  ///< values to predict, each with a weight in the loss
  /// Writes sample i. Called from the loader's thread and others at once.
  virtual void get(std::int64_t i, std::span<float> input, std::span<float> target,
                   std::span<float> weight) const = 0;
};

/// The order of samples: a pure function of (seed, step), the same on every rank.
///
/// An epoch visits every sample once in an order of its own; the last global batch of an epoch is padded.
struct Sampler {
  std::uint64_t seed = 0;
  std::int64_t size = 0, global_batch = 0;

  std::int64_t steps_per_epoch() const { return (size + global_batch - 1) / global_batch; }
  std::int64_t epoch(std::int64_t step) const { return step / steps_per_epoch(); }
  /// Real samples in the global batch of a step.
  std::int64_t samples(std::int64_t step) const;
  /// The sample at a position of a step's global batch, or -1 for padding.
  std::int64_t sample(std::int64_t step, std::int64_t position) const;
};

/// One micro-batch in host memory; padding has zero inputs and zero weights.
struct HostBatch {
  std::int64_t micro_batch = 0, rows = 0;
  std::vector<float> inputs, targets, weights;
};

/// All micro-batches of one step that this rank runs.
using StepData = std::vector<HostBatch>;

/// Fills rows [0, rows) of a batch: row r is sample index(r), or padding where that is -1.
template <class Index>
void fill_batch(const Dataset& dataset, std::int64_t rows, Index index, HostBatch& batch) {
  const auto width = [rows](std::int64_t cols) { return static_cast<std::size_t>(rows * cols); };
  batch.rows = rows;
  batch.inputs.assign(width(dataset.inputs()), 0.0f);
  batch.targets.assign(width(dataset.targets()), 0.0f);
  batch.weights.assign(width(dataset.targets()), 0.0f);
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int64_t i = index(r);
    if (i < 0) continue;
    const auto row = [r](std::vector<float>& all, std::int64_t cols) {
      return std::span(all).subspan(static_cast<std::size_t>(r * cols), static_cast<std::size_t>(cols));
    };
    dataset.get(i, row(batch.inputs, dataset.inputs()), row(batch.targets, dataset.targets()),
                row(batch.weights, dataset.targets()));
  }
}

/// Fetches steps ahead on a thread of its own, at most two at a time, so memory stays bounded.
class Loader {
 public:
  /// Delivers steps [first, last) for micro-batches [begin, end) of `rows` samples each.
  Loader(const Dataset& dataset, Sampler sampler, std::int64_t first, std::int64_t last, std::int64_t begin,
         std::int64_t end, std::int64_t rows);
  ~Loader();
  /// The next step's data; the previous one's buffers are used again. Throws what reading threw, or Error
  /// after `timeout_s` without data.
  const StepData& next(double timeout_s);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rondo
