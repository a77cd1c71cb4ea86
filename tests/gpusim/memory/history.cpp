#include "memory/history.hpp"

namespace gpusim {

void History::split(size_t at) {
  auto it = segments_.upper_bound(at);
  if (it == segments_.begin()) return;
  --it;
  if (it->first == at || it->second.end <= at) return;
  Segment tail = it->second;
  it->second.end = at;
  segments_.emplace(at, std::move(tail));
}

void History::access(size_t begin, size_t end, bool write, const EventPtr& event, const Report& conflict) {
  split(begin);
  split(end);
  size_t at = begin;
  auto it = segments_.lower_bound(begin);
  while (at < end) {
    if (it == segments_.end() || it->first > at) {  // a gap that nobody has touched
      size_t gap_end = it == segments_.end() ? end : std::min(end, it->first);
      it = segments_.emplace(at, Segment{gap_end, nullptr, {}}).first;
    }
    Segment& s = it->second;
    auto ordered = [&](const EventPtr& e) { return e == event || e->before(*event) || event->before(*e); };
    if (s.writer && !ordered(s.writer)) conflict(*s.writer, true, at);
    if (write) {
      for (const EventPtr& reader : s.readers)
        if (!ordered(reader)) conflict(*reader, false, at);
      s.writer = event;
      s.readers.clear();
    } else {
      std::erase_if(s.readers, [&](const EventPtr& e) { return e == event || e->before(*event); });
      s.readers.push_back(event);
    }
    at = s.end;
    // Neighbours with the same story become one again.
    if (it != segments_.begin()) {
      auto left = std::prev(it);
      if (left->second.end == it->first && left->second.writer == s.writer &&
          left->second.readers == s.readers) {
        left->second.end = s.end;
        segments_.erase(it);
        it = left;
      }
    }
    ++it;
  }
}

}  // namespace gpusim
