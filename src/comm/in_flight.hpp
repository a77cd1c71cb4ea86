// Reductions in flight, for the trace: nothing is kept while nobody traces.
#pragma once

#include <deque>

#include "rondo/core/clock.hpp"
#include "rondo/core/trace.hpp"

namespace rondo {

class InFlight {
 public:
  std::size_t count() const { return jobs_.size(); }
  void started(std::size_t words) {
    if (trace() != nullptr) jobs_.push_back({words, number_++, now_s()});
  }
  /// The oldest is done.
  void done() {
    if (jobs_.empty()) return;
    const auto [words, number, since] = jobs_.front();
    note_span(SpanKind::bucket, number, since, now_s(),
              static_cast<std::uint32_t>(words * sizeof(std::uint32_t)));
    jobs_.pop_front();
  }

 private:
  struct Job {
    std::size_t words;
    std::int64_t number;
    double since;
  };
  std::deque<Job> jobs_;
  std::int64_t number_ = 0;
};

}  // namespace rondo
