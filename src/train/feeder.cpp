#include "rondo/train/feeder.hpp"

#include <algorithm>

#include "rondo/core/error.hpp"

namespace rondo {

void Feeder::bring(const StepData& data) {
  for (std::size_t i = 0; i < data.size(); ++i) {
    const HostBatch& host = data[i];
    std::vector<Slot>& side = sides_[host.step % 2];
    if (i == side.size()) side.emplace_back(backend_);
    Slot& slot = side[i];
    // A view of host memory is of these very data; a copy is of all that ever have these numbers.
    const bool here = slot.step == host.step && slot.micro_batch == host.micro_batch;
    if (here && !backend_.reads_host_memory()) continue;
    const auto ahead = [&](DeviceView& view, std::span<const float> all) {
      return Matrix{view.ahead(all), host.rows, static_cast<std::int64_t>(all.size()) / host.rows};
    };
    slot.batch = {ahead(slot.inputs, host.inputs), ahead(slot.targets, host.targets),
                  ahead(slot.weights, host.weights)};
    slot.step = host.step, slot.micro_batch = host.micro_batch;
  }
}

Batch Feeder::batch(const HostBatch& host) const {
  const std::vector<Slot>& side = sides_[host.step % 2];
  const auto slot = std::ranges::find_if(
      side, [&](const Slot& s) { return s.step == host.step && s.micro_batch == host.micro_batch; });
  RONDO_CHECK(slot != side.end(), "micro-batch {} of step {} was not brought to the device", host.micro_batch,
              host.step);
  return slot->batch;
}

}  // namespace rondo
