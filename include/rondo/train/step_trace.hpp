/// Where the time of training steps goes, over all ranks and bucket by bucket.
#pragma once

#include <string>
#include <vector>

#include "rondo/comm/communicator.hpp"
#include "rondo/core/trace.hpp"

namespace rondo {

/// Spans of every rank, on rank 0's clock.
using StepTrace = std::vector<std::vector<Span>>;

/// Collective; the result is empty on ranks other than 0.
StepTrace gather_trace(const std::vector<Span>& mine, Communicator& comm);

/// One bucket of a step, medians over the traced steps as rank 0 saw them, microseconds. The last is the
/// control word. `ready` and `done` count from the step's begin. While a bucket is in flight time is hidden
/// as long as there is something to compute; afterwards it is exposed, each moment put down to the first
/// bucket that is not done: as skew until the last rank has started the bucket, then as transfer.
struct BucketFigures {
  std::uint32_t bytes = 0;
  double ready = 0, done = 0, hidden = 0, transfer = 0, skew = 0;
};
std::vector<BucketFigures> waterfall(const StepTrace& trace);

/// The trace as Chrome and Perfetto read it (Trace Event Format, JSON): a process for each rank.
void write_chrome_trace(const std::string& path, const StepTrace& trace);

}  // namespace rondo
