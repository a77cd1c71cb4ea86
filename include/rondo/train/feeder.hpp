/// Feeder: a step's batches on the device. There is room for two steps, so that the next one's can come while
/// one is in work; where the device reads host memory they stay where they are.
#pragma once

#include <vector>

#include "rondo/data/dataset.hpp"
#include "rondo/device/array.hpp"
#include "rondo/nn/model.hpp"

namespace rondo {

class Feeder {
 public:
  explicit Feeder(Backend& backend) : backend_(backend) {}

  /// Starts to bring a step's batches, unless they are there. No step but the one before may be in work, and
  /// `data` stay as they are until finish().
  void bring(const StepData& data);
  /// What is queued from here on finds what was brought.
  void await() { backend_.await_uploads(); }
  /// A batch of one of the last two steps brought.
  Batch batch(const HostBatch& host) const;
  /// Waits until all has been brought.
  void finish() { backend_.finish_uploads(); }

 private:
  struct Slot {
    explicit Slot(Backend& backend) : inputs(backend), targets(backend), weights(backend) {}
    DeviceView inputs, targets, weights;
    Batch batch{};
    std::int64_t step = -1, micro_batch = -1;
  };
  Backend& backend_;
  std::vector<Slot> sides_[2];  // by step, odd or even
};

}  // namespace rondo
