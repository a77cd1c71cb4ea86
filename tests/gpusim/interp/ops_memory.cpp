// mov, ld, st, cvta, fences.
#include "interp/pick.hpp"
#include "interp/thread.hpp"

namespace gpusim {
namespace {

void move(Thread& t, const Insn& i) { t.r[i.dst] = t.r[i.a]; }
void move_local(Thread& t, const Insn& i) { t.r[i.dst] = t.r[i.a] + static_cast<uint64_t>(i.imm); }

// mov.b64 %rd, {%r1, %r2} and back; i.size is the width of a part.
void pack(Thread& t, const Insn& i) {
  uint64_t r = 0, mask = (uint64_t{1} << (8 * i.size)) - 1;
  for (int k = 0; k < i.count; ++k) r |= (t.r[i.v[k]] & mask) << (8 * i.size * k);
  t.r[i.dst] = r;
}
void unpack(Thread& t, const Insn& i) {
  uint64_t r = t.r[i.a], mask = (uint64_t{1} << (8 * i.size)) - 1;
  for (int k = 0; k < i.count; ++k) t.r[i.v[k]] = r >> (8 * i.size * k) & mask;
}

uint64_t address(const Thread& t, const Insn& i) { return t.r[i.a] + static_cast<uint64_t>(i.imm); }

template <class T>
void load(Thread& t, const Insn& i) {
  uint64_t from = address(t, i);  // a destination may be the address register
  const uint8_t* p = touch(t, i, from, sizeof(T) * i.count, {true, false, i.relaxed});
  for (int k = 0; k < i.count; ++k) {
    T value;
    std::memcpy(&value, p + k * sizeof(T), sizeof(T));
    set<T>(t, i.v[k], value);
  }
  if (i.relaxed) observe(t, from);
  if (i.flag) acquire(t);  // .acquire
}
template <class T>
void store(Thread& t, const Insn& i) {
  if (i.flag || (i.relaxed && t.fenced))
    release(t, address(t, i));
  else if (!i.relaxed)
    t.fenced = false;  // the next atomic does not publish this store
  uint8_t* p = touch(t, i, address(t, i), sizeof(T) * i.count, {false, true, i.relaxed});
  for (int k = 0; k < i.count; ++k) {
    T value = get<T>(t, i.v[k]);
    std::memcpy(p + k * sizeof(T), &value, sizeof(T));
  }
}
// Parameters lie in the frame and need no checks.
template <class T>
void load_parameter(Thread& t, const Insn& i) {
  const uint8_t* p = reinterpret_cast<const uint8_t*>(t.r) + address(t, i);
  for (int k = 0; k < i.count; ++k) {
    T value;
    std::memcpy(&value, p + k * sizeof(T), sizeof(T));
    set<T>(t, i.v[k], value);
  }
}
template <class T>
void store_parameter(Thread& t, const Insn& i) {
  uint8_t* p = reinterpret_cast<uint8_t*>(t.r) + address(t, i);
  for (int k = 0; k < i.count; ++k) {
    T value = get<T>(t, i.v[k]);
    std::memcpy(p + k * sizeof(T), &value, sizeof(T));
  }
}

template <class T>
Handler transfer(const std::string& op, Space space) {
  if (space == Space::param) return op == "st" ? store_parameter<T> : load_parameter<T>;
  return op == "st" ? store<T> : load<T>;
}

void to_generic(Thread& t, const Insn& i) {
  t.r[i.dst] = t.r[i.a] + (i.space == Space::shared  ? shared_window
                           : i.space == Space::local ? local_window
                                                     : 0);
}
void from_generic(Thread& t, const Insn& i) {
  t.r[i.dst] = t.r[i.a] - (i.space == Space::shared  ? shared_window
                           : i.space == Space::local ? local_window
                                                     : 0);
}
void is_space(Thread& t, const Insn& i) {
  uint64_t a = t.r[i.a];
  bool shared = in_window(a, shared_window), local = in_window(a, local_window);
  t.r[i.dst] = i.space == Space::shared ? shared : i.space == Space::local ? local : !shared && !local;
}

void fence(Thread& t, const Insn&) {
  t.fenced = true;
  acquire(t);
}

Handler pick_move(const ptx::Statement& s, Insn& i) {
  const ptx::Operand &to = s.operands[0], &from = s.operands[1];
  size_t width = ptx::type_size(last_type(s));
  if (to.kind == ptx::Operand::list || from.kind == ptx::Operand::list) {
    i.size = static_cast<uint8_t>(width / i.count);
    return to.kind == ptx::Operand::list ? unpack : pack;
  }
  return i.imm ? move_local : move;
}

}  // namespace

Handler pick_memory(const ptx::Statement& s, Insn& i) {
  const std::string& op = s.opcode[0];
  std::string type = last_type(s);
  if (op == "mov") return pick_move(s, i);
  if (op == "ld" || op == "st" || op == "ldu") {
    i.size = static_cast<uint8_t>(ptx::type_size(type));
    // PTX takes volatile for relaxed; in shared memory it orders nothing that the program relies on.
    bool is_volatile = s.has("volatile") && i.space != Space::shared;
    i.flag = s.has("acquire") || s.has("release");
    i.relaxed = is_volatile || s.has("relaxed") || i.flag;
    switch (i.size) {
      case 1:
        return type == "s8" ? transfer<int8_t>(op, i.space) : transfer<uint8_t>(op, i.space);
      case 2:
        return type == "s16" ? transfer<int16_t>(op, i.space) : transfer<uint16_t>(op, i.space);
      case 4:
        return type == "s32" ? transfer<int32_t>(op, i.space) : transfer<uint32_t>(op, i.space);
      case 8:
        return transfer<uint64_t>(op, i.space);
      default:
        return nullptr;
    }
  }
  if (op == "cvta") return s.has("to") ? from_generic : to_generic;
  if (op == "isspacep") return is_space;
  if (op == "membar" || op == "fence") return fence;
  if (op == "prefetch" || op == "prefetchu" || op == "discard" || op == "applypriority") return nothing;
  return nullptr;
}

}  // namespace gpusim
