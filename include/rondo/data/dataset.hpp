/// Datasets, the order in which they are visited, and the thread that fetches ahead.
#pragma once

#include <cstdint>
#include <memory>
#include <memory_resource>
#include <span>
#include <vector>

namespace rondo {

class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual std::int64_t size() const = 0;     ///< samples
  virtual std::int64_t inputs() const = 0;   ///< values of a sample's input
  virtual std::int64_t targets() const = 0;  ///< values to predict, each with a weight in the loss
  /// Writes sample i. Called from several threads at once.
  virtual void get(std::int64_t i, std::span<float> input, std::span<float> target,
                   std::span<float> weight) const = 0;
  /// Sample i is wanted soon: a hint, for samples that lie scattered in memory.
  virtual void expect(std::int64_t) const {}
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
  /// The samples from a position of a step's global batch on, as many as there is room for, -1 for padding.
  void order(std::int64_t step, std::int64_t position, std::span<std::int64_t> room) const;
};

/// One micro-batch in host memory; padding has zero inputs and zero weights. Its numbers are a function of
/// step and micro_batch.
struct HostBatch {
  explicit HostBatch(std::pmr::memory_resource& memory = *std::pmr::new_delete_resource())
      : inputs(&memory), targets(&memory), weights(&memory) {}
  std::int64_t step = 0, micro_batch = 0, rows = 0;
  std::pmr::vector<float> inputs, targets, weights;
};

/// All micro-batches of one step that this rank runs.
using StepData = std::vector<HostBatch>;

/// Makes a batch of these samples, a row each; padding where that is -1.
void fill_batch(const Dataset& dataset, std::span<const std::int64_t> samples, HostBatch& batch);

/// Fetches steps ahead, at most two, so memory stays bounded: on a thread of its own, or on the caller's as
/// long as a fetch is quick. For where that thread would have no core: woken at every step it only costs time
/// there, and two ranks with steps of 0.2 ms have kept a machine of two cores from other work for up to 24 s
/// (Linux 6.18, ranks in an autogroup of their own).
class Loader {
 public:
  /// Delivers steps [first, last) for micro-batches [begin, end) of `rows` samples each, in `memory`, which
  /// any thread can use. The caller fetches what takes less than `quick_s`.
  Loader(const Dataset& dataset, Sampler sampler, std::int64_t first, std::int64_t last, std::int64_t begin,
         std::int64_t end, std::int64_t rows, std::pmr::memory_resource& memory, double quick_s);
  ~Loader();
  /// From step `step` on, which next() has not delivered yet, micro-batches [begin, end).
  void assign(std::int64_t step, std::int64_t begin, std::int64_t end);
  /// The next step's data; the previous one's buffers are used again. Throws what reading threw, or Error
  /// after `timeout_s` without data.
  const StepData& next(double timeout_s = 600);
  /// What next() will deliver next, if it is here already or quickly fetched: until then, or assign(), it
  /// stays as it is.
  const StepData* ahead();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rondo
