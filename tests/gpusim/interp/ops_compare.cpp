// setp, set, selp and slct.
#include "interp/float_mode.hpp"
#include "interp/pick.hpp"

namespace gpusim {
namespace {

enum class Is { eq, ne, lt, le, gt, ge, equ, neu, ltu, leu, gtu, geu, num, nan };

// The unordered comparisons hold where an operand is NaN; of the ordered ones only ne does not exclude it.
template <Is is, class T>
bool compare(T a, T b) {
  bool unordered = a != a || b != b;
  switch (is) {
    case Is::eq:
      return a == b;
    case Is::ne:
      return !unordered && a != b;
    case Is::lt:
      return a < b;
    case Is::le:
      return a <= b;
    case Is::gt:
      return a > b;
    case Is::ge:
      return a >= b;
    case Is::equ:
      return unordered || a == b;
    case Is::neu:
      return unordered || a != b;
    case Is::ltu:
      return unordered || a < b;
    case Is::leu:
      return unordered || a <= b;
    case Is::gtu:
      return unordered || a > b;
    case Is::geu:
      return unordered || a >= b;
    case Is::num:
      return !unordered;
    case Is::nan:
      return unordered;
  }
  return false;
}

// d|v[0] = compare combined with predicate c by i.imm (0 none, 1 and, 2 or, 3 xor).
template <Is is, class T>
void set_predicate(Thread& t, const Insn& i) {
  bool r = compare<is, T>(operand<T>(t, i, i.a), operand<T>(t, i, i.b)), other = !r;
  if (i.imm) {
    bool c = (t.r[i.c] & 1) != i.flag;
    auto combine = [&](bool x) { return i.imm == 1 ? x && c : i.imm == 2 ? x || c : x != c; };
    r = combine(r);
    other = combine(other);
  }
  t.r[i.v[0]] = other;
  t.r[i.dst] = r;
}

template <Is is, class T>
void set_value(Thread& t, const Insn& i) {  // set.lt.f32.s32: 1.0f or 0; integers: all ones
  bool r = compare<is, T>(operand<T>(t, i, i.a), operand<T>(t, i, i.b));
  set<uint32_t>(t, i.dst, !r ? 0 : i.saturate ? 0x3f800000u : 0xffffffffu);
}

template <Is is>
Handler by_type(const std::string& type, bool value) {
  if (type == "u16" || type == "b16") return value ? set_value<is, uint16_t> : set_predicate<is, uint16_t>;
  if (type == "s16") return value ? set_value<is, int16_t> : set_predicate<is, int16_t>;
  if (type == "u32" || type == "b32") return value ? set_value<is, uint32_t> : set_predicate<is, uint32_t>;
  if (type == "s32") return value ? set_value<is, int32_t> : set_predicate<is, int32_t>;
  if (type == "u64" || type == "b64") return value ? set_value<is, uint64_t> : set_predicate<is, uint64_t>;
  if (type == "s64") return value ? set_value<is, int64_t> : set_predicate<is, int64_t>;
  if (type == "f32") return value ? set_value<is, float> : set_predicate<is, float>;
  if (type == "f64") return value ? set_value<is, double> : set_predicate<is, double>;
  return nullptr;
}

Handler by_comparison(const std::string& is, const std::string& type, bool value) {
  if (is == "eq") return by_type<Is::eq>(type, value);
  if (is == "ne") return by_type<Is::ne>(type, value);
  if (is == "lt" || is == "lo") return by_type<Is::lt>(type, value);
  if (is == "le" || is == "ls") return by_type<Is::le>(type, value);
  if (is == "gt" || is == "hi") return by_type<Is::gt>(type, value);
  if (is == "ge" || is == "hs") return by_type<Is::ge>(type, value);
  if (is == "equ") return by_type<Is::equ>(type, value);
  if (is == "neu") return by_type<Is::neu>(type, value);
  if (is == "ltu") return by_type<Is::ltu>(type, value);
  if (is == "leu") return by_type<Is::leu>(type, value);
  if (is == "gtu") return by_type<Is::gtu>(type, value);
  if (is == "geu") return by_type<Is::geu>(type, value);
  if (is == "num") return by_type<Is::num>(type, value);
  if (is == "nan") return by_type<Is::nan>(type, value);
  return nullptr;
}

void select(Thread& t, const Insn& i) { t.r[i.dst] = t.r[(t.r[i.c] & 1) ? i.a : i.b]; }
void select_sign(Thread& t, const Insn& i) {
  bool first = i.flag ? !(get<float>(t, i.c) < 0) : get<int32_t>(t, i.c) >= 0;
  t.r[i.dst] = t.r[first ? i.a : i.b];
}

}  // namespace

Handler pick_compare(const ptx::Statement& s, Insn& i) {
  const std::string& op = s.opcode[0];
  if (op == "selp") return select;
  if (op == "slct") {
    i.flag = last_type(s) == "f32";
    return select_sign;
  }
  if (op == "setp") {
    i.imm = s.has("and") ? 1 : s.has("or") ? 2 : s.has("xor") ? 3 : 0;
    i.flag = s.operands.back().negated;
    return by_comparison(s.opcode[1], last_type(s), false);
  }
  if (op == "set" && s.operands.size() == 3) {
    i.saturate = first_type(s) == "f32";
    return by_comparison(s.opcode[1], last_type(s), true);
  }
  return nullptr;
}

}  // namespace gpusim
