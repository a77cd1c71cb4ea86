// What happened before what inside one launch. Time is a counter that moves at every barrier; an access is
// known by (block, thread, stamp), and is ordered before the present of thread `me` if it is its own, or a
// barrier, a __syncwarp or a chain of fences and atomics lies between.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace gpusim {

using LaneClock = std::array<uint32_t, 32>;  // for each lane of the warp: its latest __syncwarp known here

// Learnt through memory: everything of `block` before its last barrier, and thread `tid` up to `now`.
struct Known {
  uint32_t block, barrier_stamp, now;
  uint16_t tid;
};

struct BlockOrder {
  uint32_t launch_base = 0;  // older stamps belong to earlier launches, which streams put in order
  uint32_t now = 0;
  uint32_t block = 0;
  uint32_t barrier_stamp = 0;    // the last barrier of the whole block
  std::vector<LaneClock> lanes;  // one per thread
  std::vector<Known> known;

  bool before(uint32_t stamp, uint32_t other_block, uint16_t other, uint16_t me) const {
    if (stamp < launch_base) return true;
    if (other_block == block) {
      return other == me || stamp < barrier_stamp || (other / 32 == me / 32 && lanes[me][other % 32] > stamp);
    }
    for (const Known& k : known)
      if (k.block == other_block && (stamp < k.barrier_stamp || (k.tid == other && stamp <= k.now)))
        return true;
    return false;
  }
};

}  // namespace gpusim
