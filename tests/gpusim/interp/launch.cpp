// Runs the blocks of a launch one after another in random order, and within a block one thread at a time, in
// random order, until it waits. What the order hides, the shadow finds.
#include <algorithm>
#include <bit>
#include <numeric>

#include "interp/thread.hpp"
#include "report.hpp"

namespace gpusim {
namespace {

constexpr uint64_t slice = 1 << 18;  // a thread that spins on another one must let it run
uint32_t stamp = 1;                  // grows for ever; each launch begins at a new value

void prepare(Thread& t, Block& block, uint16_t id) {
  const Launch& launch = *block.launch;
  const Code& entry = *launch.entry;
  t.block = &block;
  t.id = id;
  t.state = State::ready;
  t.fenced = t.carry = false;
  t.observed.clear();
  if (t.stack.size() < entry.frame.size()) t.stack.resize(entry.frame.size());
  std::copy(entry.frame.begin(), entry.frame.end(), t.stack.begin());
  t.frames.assign(1, {&entry, nullptr, 0, 0});
  t.local.resize(entry.local_size);
  t.local_valid.assign(entry.local_size, 0);
  t.r = t.stack.data();
  t.pc = entry.insns.data();
  uint32_t lane = id % 32, bit = 1u << lane;
  Dim d = launch.block;
  auto put = [&](uint32_t first, Dim v) {
    t.r[first] = v.x;
    t.r[first + 1] = v.y;
    t.r[first + 2] = v.z;
  };
  put(slot::tid_x, {id % d.x, id / d.x % d.y, id / d.x / d.y});
  put(slot::ntid_x, d);
  put(slot::ctaid_x, block.at);
  put(slot::nctaid_x, launch.grid);
  t.r[slot::laneid] = lane;
  t.r[slot::warpid] = id / 32;
  t.r[slot::nwarpid] = (d.count() + 31) / 32;
  t.r[slot::lanemask_eq] = bit;
  t.r[slot::lanemask_lt] = bit - 1;
  t.r[slot::lanemask_le] = bit | (bit - 1);
  t.r[slot::lanemask_ge] = ~(bit - 1);
  t.r[slot::lanemask_gt] = ~(bit | (bit - 1));
  t.r[slot::dynamic_shared] = (entry.shared_layout + 127) / 128 * 128;
  t.r[slot::dynamic_bytes] = launch.dynamic_shared;
  t.r[slot::total_bytes] = launch.dynamic_shared + entry.static_shared;
  if (!entry.parameters.empty())
    std::memcpy(reinterpret_cast<uint8_t*>(t.r) + entry.parameters[0].offset, launch.parameters.data(),
                launch.parameters.size());
}

class BlockRun {
 public:
  explicit BlockRun(Block& block)
      : block_(block), launch_(*block.launch), at_warp_sync_((block.threads.size() + 31) / 32) {}

  void run() {
    for (;;) {
      while (!block_.ready.empty()) step();
      if (std::all_of(block_.threads.begin(), block_.threads.end(),
                      [](const Thread& t) { return t.state == State::exited; }))
        return;
      settle();
    }
  }

 private:
  void step() {
    size_t pick = launch_.random() % block_.ready.size();
    uint32_t id = block_.ready[pick];
    Thread& t = block_.threads[id];
    run_slice(t, slice);
    if (launch_.executed > launch_.limit)
      throw Fault(Fault::launch_failure, "kernel does not end: " + describe(t, *t.pc));
    if (t.state == State::ready) return;
    block_.ready[pick] = block_.ready.back();
    block_.ready.pop_back();
    if (t.state != State::at_warp_sync) return;
    ++at_warp_sync_[id / 32];
    try_warp(id / 32, t, false);
  }

  uint32_t lanes_of(uint32_t warp, State state, const Insn* at, uint32_t mask) const {
    uint32_t lanes = 0;
    for (uint32_t lane = 0; lane < 32 && warp * 32 + lane < block_.threads.size(); ++lane) {
      const Thread& t = block_.threads[warp * 32 + lane];
      if (t.state == state && (!at || (t.waiting == at && t.wait_mask == mask))) lanes |= 1u << lane;
    }
    return lanes;
  }

  // Serves the lanes that wait with t if its mask is complete, or if `force`.
  void try_warp(uint32_t warp, Thread& t, bool force) {
    const Insn& i = *t.waiting;
    uint64_t in_warp = std::min<uint64_t>(32, block_.threads.size() - warp * 32);
    uint32_t mask = t.wait_mask, exist = in_warp == 32 ? ~0u : (1u << in_warp) - 1;
    bool has_caller = mask >> t.lane() & 1;
    // Too few to be complete, as 31 of 32 arrivals are: nobody need be looked at.
    if (has_caller && !force && at_warp_sync_[warp] < std::popcount(mask & exist)) return;
    uint32_t here = lanes_of(warp, State::at_warp_sync, &i, mask) & mask;
    if (!has_caller) {
      finding(t, i, "warp mask without the caller",
              "the mask lacks the thread's own lane " + std::to_string(t.lane()));
      here |= 1u << t.lane();
    }
    if ((mask & exist & ~here) && !force) return;
    uint32_t absent = mask & exist & ~here;
    if (absent) {
      uint32_t gone = lanes_of(warp, State::exited, nullptr, 0) & absent;
      char text[96];
      std::snprintf(text, sizeof text, "mask 0x%08x, lanes 0x%08x do not arrive%s", mask, absent,
                    gone == absent ? " (they have exited)" : "");
      finding(t, i, "warp operation with absent lanes", text);
    }
    resolve_warp(block_, warp, here, i);
    if (i.source->opcode[0] == "bar") order_lanes(warp, here);  // only __syncwarp orders memory
    at_warp_sync_[warp] -= std::popcount(here);
    for (uint32_t left = here; left; left &= left - 1)
      wake(warp * 32 + static_cast<uint32_t>(std::countr_zero(left)));
  }

  void order_lanes(uint32_t warp, uint32_t lanes) {
    block_.order.now = ++stamp;
    LaneClock joined{};
    for (uint32_t left = lanes; left; left &= left - 1) {
      auto lane = static_cast<uint32_t>(std::countr_zero(left));
      const LaneClock& known = block_.order.lanes[warp * 32 + lane];
      for (size_t k = 0; k < 32; ++k) joined[k] = std::max(joined[k], known[k]);
    }
    for (uint32_t left = lanes; left; left &= left - 1)
      joined[static_cast<size_t>(std::countr_zero(left))] = stamp;
    for (uint32_t left = lanes; left; left &= left - 1)
      block_.order.lanes[warp * 32 + static_cast<uint32_t>(std::countr_zero(left))] = joined;
  }

  void wake(uint32_t id) {
    block_.threads[id].state = State::ready;
    block_.ready.push_back(id);
  }

  // Nobody can run: either all stand at one barrier, or something is wrong.
  void settle() {
    for (Thread& t : block_.threads)
      if (t.state == State::at_warp_sync) return try_warp(t.id / 32, t, true);
    Thread* first = nullptr;
    size_t waiting = 0;
    for (Thread& t : block_.threads) {
      if (t.state != State::at_barrier) continue;
      if (!first) first = &t;
      ++waiting;
      const Insn &mine = *t.waiting, &theirs = *first->waiting;
      if (&mine != &theirs)
        finding(t, mine, "divergent barrier",
                "waits at another barrier than " + describe_thread(launch_, block_.index, first->id) +
                    " (PTX line " + std::to_string(theirs.source->line) + ")");
      uint64_t threads = mine.b == slot::zero ? 0 : get<uint32_t>(t, mine.b);
      if (threads && threads != block_.threads.size())
        throw Fault(Fault::launch_failure,
                    "barriers for a part of the block are not simulated: " + describe(t, mine));
    }
    if (waiting < block_.threads.size())
      finding(*first, *first->waiting, "exit before a barrier",
              std::to_string(block_.threads.size() - waiting) + " of " +
                  std::to_string(block_.threads.size()) + " threads of the block have exited");
    pass_barrier();
  }

  void pass_barrier() {
    uint64_t count = 0, all = 0;
    for (Thread& t : block_.threads) {
      if (t.state != State::at_barrier) continue;
      ++all;
      count += (t.r[t.waiting->c] & 1) != t.waiting->flag;
    }
    block_.order.now = block_.order.barrier_stamp = ++stamp;
    for (Thread& t : block_.threads) {
      if (t.state != State::at_barrier) continue;
      const ptx::Statement& s = *t.waiting->source;
      if (s.has("red")) t.r[t.waiting->dst] = s.has("popc") ? count : s.has("and") ? count == all : count > 0;
      wake(t.id);
    }
  }

  Block& block_;
  Launch& launch_;
  std::vector<int> at_warp_sync_;  // lanes of each warp that wait, wherever
};

}  // namespace

void run_slice(Thread& t, uint64_t instructions) {
  uint64_t left = instructions;
  while (left > 0 && t.state == State::ready) {
    const Insn& i = *t.pc++;
    --left;
    if ((t.r[i.guard] & 1) != i.wanted) continue;
    i.hit = true;
    i.run(t, i);
  }
  t.block->launch->executed += instructions - left;
}

void run_launch(Launch& launch) {
  launch.base_stamp = ++stamp;
  Block block;
  block.launch = &launch;
  thread_local std::vector<Thread> threads;  // keep their stacks from one launch to the next
  threads.resize(std::max(threads.size(), launch.block.count()));
  block.threads = {threads.data(), launch.block.count()};
  size_t shared = (launch.entry->shared_layout + 127) / 128 * 128 + launch.dynamic_shared;
  block.shared.resize(shared);
  block.shared_shadow = std::make_unique<Shadow>(shared);
  std::vector<uint32_t> order(launch.grid.count());
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), launch.random);
  for (uint32_t index : order) {
    block.index = index;
    block.at = {index % launch.grid.x, index / launch.grid.x % launch.grid.y,
                index / launch.grid.x / launch.grid.y};
    block.order.launch_base = launch.base_stamp;
    block.order.block = index;
    block.order.now = block.order.barrier_stamp = ++stamp;
    block.order.lanes.assign(block.threads.size(), {});
    block.order.known.clear();
    std::fill(block.shared.begin(), block.shared.end(), 0xff);
    block.shared_shadow->set_valid(0, shared, false);
    block.shared_shadow->forget_before(block.order.now);
    block.ready.clear();
    for (uint32_t id = 0; id < block.threads.size(); ++id) {
      prepare(block.threads[id], block, static_cast<uint16_t>(id));
      block.ready.push_back(id);
    }
    BlockRun(block).run();
  }
}

}  // namespace gpusim
