// Every load, store and atomic of a kernel passes here: where do the bytes lie, may this thread touch them
// now?
#include "interp/thread.hpp"
#include "memory/table.hpp"
#include "report.hpp"

namespace gpusim {
namespace {

std::string hex(uint64_t value) {
  char text[20];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

std::string what(Access how, size_t size) {
  return (how.atomic ? "atomic on " : how.write ? "write of " : "read of ") + std::to_string(size) + " bytes";
}

void race(Thread& t, const Insn& i, const char* kind, const std::string& place, Access how, size_t size,
          const Conflict& c) {
  const Launch& launch = *t.block->launch;
  std::string other = c.block == Conflict::many_blocks ? "threads of several blocks"
                      : c.tid < 0 ? "several threads of " + describe_thread(launch, c.block, -1)
                                  : describe_thread(launch, c.block, c.tid);
  bool within_warp = c.block == t.block->index && c.tid >= 0 && c.tid / 32 == t.id / 32;
  finding(t, i, kind,
          what(how, size) + " at " + place + " is not ordered after the " +
              (c.other_atomic  ? "atomic"
               : c.other_wrote ? "write"
                               : "read") +
              " by " + other +
              (within_warp                 ? "; expected __syncwarp or __syncthreads between"
               : c.block == t.block->index ? "; expected __syncthreads between"
                                           : "; blocks of one launch are not ordered"));
}

uint8_t* touch_shared(Thread& t, const Insn& i, uint64_t offset, size_t size, Access how) {
  Block& block = *t.block;
  const Code& entry = *block.launch->entry;
  bool inside = offset >= block.threads[0].r[slot::dynamic_shared] && offset + size <= block.shared.size();
  for (size_t v = 0; !inside && v < entry.shared_variables.size(); ++v)
    inside = offset >= entry.shared_variables[v].first && offset + size <= entry.shared_variables[v].second;
  if (!inside) {
    throw Fault(Fault::illegal_address, "out of bounds in shared memory: " + what(how, size) +
                                            " at shared offset " + std::to_string(offset) +
                                            ", outside of every variable: " + describe(t, i));
  }
  Shadow& shadow = *block.shared_shadow;
  if (how.read && shadow.first_invalid(offset, size) >= 0)
    finding(t, i, "uninitialised read of shared memory",
            what(how, size) + " at shared offset " + std::to_string(offset));
  Conflict c = shadow.touch(offset, size, how, t.id, block.order);
  if (c.found) race(t, i, "race in shared memory", "shared offset " + std::to_string(offset), how, size, c);
  if (how.write) shadow.set_valid(offset, size, true);
  return block.shared.data() + offset;
}

uint8_t* touch_local(Thread& t, const Insn& i, uint64_t offset, size_t size, Access how) {
  if (offset + size > t.local.size() || offset + size < offset)
    throw Fault(Fault::illegal_address, "out of bounds in local memory: " + what(how, size) + " at offset " +
                                            std::to_string(static_cast<int64_t>(offset)) + ": " +
                                            describe(t, i));
  auto valid = t.local_valid.begin() + static_cast<ptrdiff_t>(offset);
  auto end = valid + static_cast<ptrdiff_t>(size);
  if (how.read && std::find(valid, end, 0) != end)
    finding(t, i, "uninitialised read of local memory",
            what(how, size) + " at offset " + std::to_string(offset));
  if (how.write) std::fill(valid, end, 1);
  return t.local.data() + offset;
}

Allocation* lookup(Thread& t, const Insn& i, uint64_t address, size_t size, Access how) {
  Allocation* a = memory().find(address);
  if (a && a->device >= 0 && !(t.block->launch->devices >> a->device & 1))
    throw Fault(Fault::illegal_address,
                "memory of another device: " + what(how, size) + " at " + hex(address) + " in " + a->name +
                    " of device " + std::to_string(a->device) + ", without peer access: " + describe(t, i));
  if (a && !a->freed && address + size <= a->base + a->size) return i.cache = a, a;
  if (a && a->freed)
    throw Fault(Fault::illegal_address, "use after free: " + what(how, size) + " at " + hex(address) + ", " +
                                            std::to_string(address - a->base) + " bytes into freed " +
                                            a->name + ": " + describe(t, i));
  throw Fault(Fault::illegal_address,
              "out of bounds in global memory: " + what(how, size) + " at " + hex(address) + ", " +
                  memory().neighbour(a ? a->base + a->size : address) + ": " + describe(t, i));
}

uint8_t* touch_global(Thread& t, const Insn& i, uint64_t address, size_t size, Access how) {
  auto* a = static_cast<Allocation*>(i.cache);
  if (!a || address - a->base >= a->size || address + size > a->base + a->size || a->freed)
    a = lookup(t, i, address, size, how);
  size_t offset = address - a->base;
  auto place = [&] {
    return "byte " + std::to_string(offset) + " of " + a->name + " (" + hex(address) + ")";
  };
  if (how.read && a->shadow.first_invalid(offset, size) >= 0)
    finding(t, i, "uninitialised read of global memory", what(how, size) + " at " + place());
  Conflict c = a->shadow.touch(offset, size, how, t.id, t.block->order);
  if (c.found) race(t, i, "race in global memory", place(), how, size, c);
  Launch& launch = *t.block->launch;
  a->shadow.mark(offset, size, how, launch.operation);
  if (a->touched_by != launch.operation) {
    a->touched_by = launch.operation;
    launch.touched.push_back(a);
  }
  if (how.write) a->shadow.set_valid(offset, size, true);
  return a->data + offset;
}

}  // namespace

uint8_t* touch(Thread& t, const Insn& i, uint64_t address, size_t size, Access how) {
  Space space = i.space;
  uint64_t offset = address;
  if (space == Space::generic) {
    if (in_window(address, shared_window)) {
      space = Space::shared;
      offset -= shared_window;
    } else if (in_window(address, local_window)) {
      space = Space::local;
      offset -= local_window;
    }
  } else if (space == Space::shared) {
    offset &= 0xffffffff;  // a 32-bit address may stand in a sign-extended register
  }
  if (address & (size - 1))
    throw Fault(Fault::misaligned, "misaligned access: " + what(how, size) + " at " + hex(address) +
                                       ", not a multiple of " + std::to_string(size) + ": " + describe(t, i));
  if (space == Space::shared) return touch_shared(t, i, offset, size, how);
  if (space == Space::local) return touch_local(t, i, offset, size, how);
  return touch_global(t, i, address, size, how);
}

void release(Thread& t, uint64_t address) {
  const BlockOrder& o = t.block->order;
  Knowledge& there = t.block->launch->released[address];
  there.learn(o.known);
  there.learn(o.block, t.id, {o.barrier_stamp, o.now});
}

void observe(Thread& t, uint64_t address) {
  const auto& released = t.block->launch->released;
  if (released.empty() || !released.count(address)) return;
  if (std::find(t.observed.begin(), t.observed.end(), address) == t.observed.end())
    t.observed.push_back(address);
}

void acquire(Thread& t) {
  for (uint64_t address : t.observed) t.block->order.known.learn(t.block->launch->released[address]);
  t.observed.clear();
}

std::string describe_thread(const Launch& launch, uint32_t block, int tid) {
  auto triple = [](uint64_t index, Dim d) {
    return "(" + std::to_string(index % d.x) + "," + std::to_string(index / d.x % d.y) + "," +
           std::to_string(index / d.x / d.y) + ")";
  };
  std::string text = "block " + triple(block, launch.grid);
  return tid < 0 ? text : "thread " + triple(static_cast<uint64_t>(tid), launch.block) + " of " + text;
}

std::string describe(const Thread& t, const Insn& i) {
  const Launch& launch = *t.block->launch;
  std::string source = launch.entry->module->where(i.source->location);
  return "kernel " + launch.entry->shown + ", PTX line " + std::to_string(i.source->line) + " " +
         i.source->name() + (source.empty() ? "" : " (" + source + ")") + ", " +
         describe_thread(launch, t.block->index, t.id);
}

void finding(Thread& t, const Insn& i, const std::string& kind, const std::string& text) {
  ++t.block->launch->findings;
  // One line for each instruction and kind is enough: a missing barrier concerns every thread.
  static std::map<std::pair<const Insn*, std::string>, unsigned> told;
  if (told[{&i, kind}]++ == 0) report(kind, text + ": " + describe(t, i));
}

}  // namespace gpusim
