// Which operations last wrote and read each part of an allocation, and whether a new one is ordered after
// them: vector clocks over streams and the host.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace gpusim {

using Clock =
    std::vector<uint64_t>;  // index: stream (0 is the host); value: operations of it known to be done

inline void join(Clock& into, const Clock& other) {
  if (into.size() < other.size()) into.resize(other.size());
  for (size_t i = 0; i < other.size(); ++i) into[i] = std::max(into[i], other[i]);
}

// An operation as others see it.
struct Event {
  std::string name;
  uint32_t stream = 0;
  uint64_t sequence = 0;
  Clock clock;  // what had happened before it, itself included

  bool before(const Event& other) const {
    return stream < other.clock.size() && other.clock[stream] >= sequence;
  }
};
using EventPtr = std::shared_ptr<const Event>;

class History {
 public:
  // Enters an access to [begin, end). Calls conflict(earlier, earlier_wrote, at) for an earlier access that
  // is ordered neither before nor after it.
  using Report = std::function<void(const Event& earlier, bool earlier_wrote, size_t at)>;
  void access(size_t begin, size_t end, bool write, const EventPtr& event, const Report& conflict);

 private:
  struct Segment {
    size_t end;
    EventPtr writer;
    std::vector<EventPtr> readers;
  };
  void split(size_t at);
  std::map<size_t, Segment> segments_;
};

}  // namespace gpusim
