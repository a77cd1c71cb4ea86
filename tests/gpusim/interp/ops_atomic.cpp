// atom and red on global and shared memory.
#include <algorithm>

#include "interp/pick.hpp"
#include "interp/thread.hpp"

namespace gpusim {
namespace {

enum class Do { add, min, max, exch, cas, both, either, differ, inc, dec };

template <Do what, class T>
T combine(T old, T b, T c) {
  if constexpr (what == Do::add) {
    if constexpr (std::is_floating_point_v<T>)
      return old + b;
    else
      return static_cast<T>(static_cast<std::make_unsigned_t<T>>(old) +
                            static_cast<std::make_unsigned_t<T>>(b));
  } else if constexpr (what == Do::min) {
    return std::min(old, b);
  } else if constexpr (what == Do::max) {
    return std::max(old, b);
  } else if constexpr (what == Do::exch) {
    return b;
  } else if constexpr (what == Do::cas) {
    return old == b ? c : old;
  } else if constexpr (what == Do::both) {
    return old & b;
  } else if constexpr (what == Do::either) {
    return old | b;
  } else if constexpr (what == Do::differ) {
    return old ^ b;
  } else if constexpr (what == Do::inc) {
    return old >= b ? T{0} : old + 1;
  } else {
    return old == 0 || old > b ? b : old - 1;
  }
}

template <Do what, class T>
void atomic(Thread& t, const Insn& i) {
  uint64_t address = t.r[i.a] + static_cast<uint64_t>(i.imm);
  uint8_t* p = touch(t, i, address, sizeof(T), {true, true, true});
  // fence; atomic publishes, atomic; fence learns. The opcodes .release and .acquire mean the same.
  if (t.fenced || i.flag) release(t, address);
  observe(t, address);
  if (i.flag) acquire(t);
  T old;
  std::memcpy(&old, p, sizeof(T));
  T next = combine<what, T>(old, get<T>(t, i.b), get<T>(t, i.c));
  std::memcpy(p, &next, sizeof(T));
  set<T>(t, i.dst, old);
}

template <class T>
Handler pick_bitwise(const ptx::Statement& s) {
  if (s.has("exch")) return atomic<Do::exch, T>;
  if (s.has("cas")) return atomic<Do::cas, T>;
  if (s.has("and")) return atomic<Do::both, T>;
  if (s.has("or")) return atomic<Do::either, T>;
  if (s.has("xor")) return atomic<Do::differ, T>;
  return nullptr;
}
template <class T>
Handler pick_arithmetic(const ptx::Statement& s) {
  if (s.has("add")) return atomic<Do::add, T>;
  if constexpr (std::is_integral_v<T>) {
    if (s.has("min")) return atomic<Do::min, T>;
    if (s.has("max")) return atomic<Do::max, T>;
    if (s.has("inc")) return atomic<Do::inc, T>;
    if (s.has("dec")) return atomic<Do::dec, T>;
  }
  return nullptr;
}

}  // namespace

Handler pick_atomic(const ptx::Statement& s, Insn& i) {
  if (s.opcode[0] != "atom" && s.opcode[0] != "red") return nullptr;
  i.flag = s.has("acquire") || s.has("release") || s.has("acq_rel");
  std::string type = last_type(s);
  if (type == "b32") return pick_bitwise<uint32_t>(s);
  if (type == "b64") return pick_bitwise<uint64_t>(s);
  if (type == "u32") return pick_arithmetic<uint32_t>(s);
  if (type == "s32") return pick_arithmetic<int32_t>(s);
  if (type == "u64") return pick_arithmetic<uint64_t>(s);
  if (type == "s64") return pick_arithmetic<int64_t>(s);
  if (type == "f32") return pick_arithmetic<float>(s);
  if (type == "f64") return pick_arithmetic<double>(s);
  return nullptr;
}

}  // namespace gpusim
