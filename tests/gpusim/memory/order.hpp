// What happened before what inside one launch. Time is a counter that moves at every barrier; an access is
// known by (block, thread, stamp), and is ordered before the present of thread `me` if it is its own, or a
// barrier, a __syncwarp or a chain of fences and atomics lies between.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <vector>

namespace gpusim {

using LaneClock = std::array<uint32_t, 32>;  // for each lane of the warp: its latest __syncwarp known here

// Learnt through memory: everything of a block before its last barrier, and of one of its threads up to
// `now`.
struct Known {
  uint32_t barrier_stamp, now;
};
class Knowledge {
 public:
  void learn(uint32_t block, uint16_t tid, Known k) {
    Known& mine = map_[key(block, tid)];
    mine = {std::max(mine.barrier_stamp, k.barrier_stamp), std::max(mine.now, k.now)};
  }
  void learn(const Knowledge& other) {
    for (const auto& [at, k] : other.map_)
      learn(static_cast<uint32_t>(at >> 16), static_cast<uint16_t>(at), k);
  }
  bool covers(uint32_t stamp, uint32_t block, uint16_t tid) const {
    for (auto it = map_.lower_bound(key(block, 0)); it != map_.end() && it->first >> 16 == block; ++it)
      if (stamp < it->second.barrier_stamp || (it->first == key(block, tid) && stamp <= it->second.now))
        return true;
    return false;
  }
  void clear() { map_.clear(); }

 private:
  static uint64_t key(uint32_t block, uint16_t tid) { return uint64_t{block} << 16 | tid; }
  std::map<uint64_t, Known> map_;
};

struct BlockOrder {
  uint32_t launch_base = 0;  // older stamps belong to earlier launches, which streams put in order
  uint32_t now = 0;
  uint32_t block = 0;
  uint32_t barrier_stamp = 0;    // the last barrier of the whole block
  std::vector<LaneClock> lanes;  // one per thread
  Knowledge known;               // of other blocks

  bool before(uint32_t stamp, uint32_t other_block, uint16_t other, uint16_t me) const {
    if (stamp < launch_base) return true;
    if (other_block == block) {
      return other == me || stamp < barrier_stamp || (other / 32 == me / 32 && lanes[me][other % 32] > stamp);
    }
    return known.covers(stamp, other_block, other);
  }
};

}  // namespace gpusim
