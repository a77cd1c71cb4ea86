// Branches, calls, exits and barriers of the whole block.
#include "interp/pick.hpp"
#include "interp/thread.hpp"

namespace gpusim {
namespace {

void branch(Thread& t, const Insn& i) { t.pc = &t.frames.back().code->insns[i.target]; }

void branch_indexed(Thread& t, const Insn& i) {
  uint32_t index = get<uint32_t>(t, i.a);
  if (index >= i.table.size())
    throw Fault(Fault::launch_failure, "brx.idx past its table: " + describe(t, i));
  t.pc = &t.frames.back().code->insns[i.table[index]];
}

void leave(Thread& t, const Insn&) { t.state = State::exited; }

void call(Thread& t, const Insn& i) {
  const CallSite& site = *i.call;
  const Code* callee = site.callee;
  if (t.frames.size() > 64) throw Fault(Fault::launch_failure, "calls nested too deeply: " + describe(t, i));
  const Frame& caller = t.frames.back();
  size_t base = caller.base + caller.code->frame.size();
  size_t local_base = (caller.local_base + caller.code->local_size + 15) / 16 * 16;
  if (t.stack.size() < base + callee->frame.size()) t.stack.resize(base + callee->frame.size());
  const uint64_t* from = t.stack.data() + caller.base;
  uint64_t* to = t.stack.data() + base;
  std::copy(callee->frame.begin(), callee->frame.end(), to);
  std::copy(from + slot::tid_x, from + slot::count, to + slot::tid_x);
  to[slot::local_base] = local_base;
  for (const CallSite::Copy& c : site.arguments)
    std::memcpy(reinterpret_cast<uint8_t*>(to) + c.to, reinterpret_cast<const uint8_t*>(from) + c.from,
                c.size);
  t.local.resize(std::max(t.local.size(), local_base + callee->local_size));
  t.local_valid.resize(t.local.size());
  std::fill(t.local_valid.begin() + static_cast<ptrdiff_t>(local_base), t.local_valid.end(), 0);
  t.frames.push_back({callee, t.pc, base, local_base});
  t.r = to;
  t.pc = callee->insns.data();
}

void give_back(Thread& t, const Insn& i) {
  if (t.frames.size() == 1) return leave(t, i);
  Frame done = t.frames.back();
  t.frames.pop_back();
  const Frame& caller = t.frames.back();
  t.pc = done.return_to;
  const CallSite& site = *(t.pc - 1)->call;
  uint64_t* to = t.stack.data() + caller.base;
  for (const CallSite::Copy& c : site.results)
    std::memcpy(reinterpret_cast<uint8_t*>(to) + c.to, reinterpret_cast<const uint8_t*>(t.r) + c.from,
                c.size);
  t.r = to;
}

void undefined_call(Thread& t, const Insn& i) {
  if (i.call->callee_name == "__assertfail")
    throw Fault(Fault::launch_failure, "assertion failed: " + describe(t, i));
  throw Fault(Fault::launch_failure,
              "call of unknown function " + i.call->callee_name + ": " + describe(t, i));
}

void trap(Thread& t, const Insn& i) { throw Fault(Fault::launch_failure, "trap: " + describe(t, i)); }

void barrier(Thread& t, const Insn& i) {
  t.state = State::at_barrier;
  t.waiting = &i;
}

}  // namespace

void nothing(Thread&, const Insn&) {}

void unknown_opcode(Thread& t, const Insn& i) {
  throw Fault(Fault::launch_failure, "unknown opcode " + i.source->name() + ": " + describe(t, i));
}

Handler pick_control(const ptx::Statement& s, Insn& i) {
  const std::string& op = s.opcode[0];
  if (op == "bra") return branch;
  if (op == "brx") return branch_indexed;
  if (op == "call") return i.call->callee ? call : undefined_call;
  if (op == "ret") return give_back;
  if (op == "exit") return leave;
  if (op == "trap") return trap;
  if (op == "nanosleep" || op == "pragma") return nothing;
  if ((op == "bar" || op == "barrier") && !s.has("warp") && !s.has("arrive") && !s.has("cluster"))
    return barrier;
  return nullptr;
}

}  // namespace gpusim
