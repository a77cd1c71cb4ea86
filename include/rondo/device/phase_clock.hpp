/// PhaseClock: when the phases of a step ran on the device, whatever the host did meanwhile.
#pragma once

#include <vector>

#include "rondo/core/trace.hpp"
#include "rondo/device/backend.hpp"

namespace rondo {

class PhaseClock {
 public:
  explicit PhaseClock(Backend& backend) : backend_(backend) {}

  /// Forgets all laps. Not `timed`: notes none from here on, as each costs something where work is queued.
  void restart(bool timed) {
    laps_.clear();
    timed_ = timed;
    if (timed) backend_.restart_clock();
  }
  /// A lap ends, and the next begins.
  void enter(SpanKind kind, std::int64_t id) {
    stop();
    if (timed_) laps_.push_back({kind, id, backend_.moment()});
  }
  /// A lap ends.
  void stop() {
    if (timed_ && !laps_.empty() && laps_.back().end == 0) laps_.back().end = backend_.moment();
  }
  /// Once the device was waited for: f(kind, id, begin, end) of every lap, in now_s()'s terms.
  template <class F>
  void read(F f) const {
    for (const Lap& lap : laps_) f(lap.kind, lap.id, backend_.when(lap.begin), backend_.when(lap.end));
  }

 private:
  struct Lap {
    SpanKind kind;
    std::int64_t id;
    std::size_t begin, end = 0;  // moment 0 is a lap's begin
  };
  Backend& backend_;
  std::vector<Lap> laps_;
  bool timed_ = false;
};

}  // namespace rondo
