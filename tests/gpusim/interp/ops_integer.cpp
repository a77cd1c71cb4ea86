// add, sub, mul, mad, div, rem, min, max, abs, neg, sad and the carry chain.
#include <algorithm>
#include <type_traits>

#include "interp/pick.hpp"
#include "interp/thread.hpp"

namespace gpusim {
namespace {

template <class T>
using Unsigned = std::make_unsigned_t<T>;
template <class T>
T wrap(Unsigned<T> v) {
  return static_cast<T>(v);
}

template <class T>
struct Wider;
template <>
struct Wider<uint16_t> {
  using type = uint32_t;
};
template <>
struct Wider<int16_t> {
  using type = int32_t;
};
template <>
struct Wider<uint32_t> {
  using type = uint64_t;
};
template <>
struct Wider<int32_t> {
  using type = int64_t;
};
template <>
struct Wider<uint64_t> {
  using type = unsigned __int128;
};
template <>
struct Wider<int64_t> {
  using type = __int128;
};
template <class T>
using Wide = typename Wider<T>::type;

template <template <class> class Op, class T>
struct Unary {
  static void run(Thread& t, const Insn& i) { set<T>(t, i.dst, Op<T>::of(get<T>(t, i.a))); }
};
template <template <class> class Op, class T>
struct Binary {
  static void run(Thread& t, const Insn& i) { set<T>(t, i.dst, Op<T>::of(get<T>(t, i.a), get<T>(t, i.b))); }
};
template <template <class> class Op, class T>
struct Ternary {
  static void run(Thread& t, const Insn& i) {
    set<T>(t, i.dst, Op<T>::of(get<T>(t, i.a), get<T>(t, i.b), get<T>(t, i.c)));
  }
};

// Multiplying as unsigned keeps overflow defined; uint16_t would be promoted to int.
template <class T>
T low(T a, T b) {
  return static_cast<T>(static_cast<Wide<Unsigned<T>>>(static_cast<Unsigned<T>>(a)) *
                        static_cast<Unsigned<T>>(b));
}
template <class T>
T high(T a, T b) {
  return static_cast<T>(static_cast<Wide<T>>(a) * b >> (8 * sizeof(T)));
}

template <class T>
struct Add {
  static T of(T a, T b) { return wrap<T>(static_cast<Unsigned<T>>(a) + static_cast<Unsigned<T>>(b)); }
};
template <class T>
struct Sub {
  static T of(T a, T b) { return wrap<T>(static_cast<Unsigned<T>>(a) - static_cast<Unsigned<T>>(b)); }
};
template <class T>
struct MulLow {
  static T of(T a, T b) { return low(a, b); }
};
template <class T>
struct MulHigh {
  static T of(T a, T b) { return high(a, b); }
};
template <class T>
struct MadLow {
  static T of(T a, T b, T c) { return Add<T>::of(low(a, b), c); }
};
template <class T>
struct MadHigh {
  static T of(T a, T b, T c) { return Add<T>::of(high(a, b), c); }
};
template <class T>
struct Mul24 {
  static T of(T a, T b) {
    return wrap<T>(static_cast<Unsigned<T>>(static_cast<int64_t>(a << 8 >> 8) * (b << 8 >> 8)));
  }
};
template <class T>
struct Min {
  static T of(T a, T b) { return a < b ? a : b; }
};
template <class T>
struct Max {
  static T of(T a, T b) { return a < b ? b : a; }
};
template <class T>
struct Neg {
  static T of(T a) { return wrap<T>(0 - static_cast<Unsigned<T>>(a)); }
};
template <class T>
struct Abs {
  static T of(T a) { return a < 0 ? Neg<T>::of(a) : a; }
};
template <>
struct Abs<uint16_t> {
  static uint16_t of(uint16_t a) { return a; }
};
template <>
struct Abs<uint32_t> {
  static uint32_t of(uint32_t a) { return a; }
};
template <>
struct Abs<uint64_t> {
  static uint64_t of(uint64_t a) { return a; }
};
template <class T>
struct Sad {
  static T of(T a, T b, T c) { return Add<T>::of(c, a < b ? Sub<T>::of(b, a) : Sub<T>::of(a, b)); }
};

// Division by zero gives all ones on NVIDIA cards; the smallest number over -1 wraps.
template <class T>
struct Div {
  static T of(T a, T b) {
    if (b == 0) return static_cast<T>(~Unsigned<T>{0});
    if (std::is_signed_v<T> && b == static_cast<T>(-1)) return Neg<T>::of(a);
    return static_cast<T>(a / b);
  }
};
template <class T>
struct Rem {
  static T of(T a, T b) {
    if (b == 0) return a;
    if (std::is_signed_v<T> && b == static_cast<T>(-1)) return 0;
    return static_cast<T>(a % b);
  }
};

template <class T>
void mul_wide(Thread& t, const Insn& i) {
  using W = Wide<T>;
  set<W>(t, i.dst, static_cast<W>(static_cast<W>(get<T>(t, i.a)) * get<T>(t, i.b)));
}
template <class T>
void mad_wide(Thread& t, const Insn& i) {
  using W = Unsigned<Wide<T>>;
  set<W>(t, i.dst, static_cast<W>(static_cast<Wide<T>>(get<T>(t, i.a)) * get<T>(t, i.b)) + get<W>(t, i.c));
}

// x + y + carry in T, remembering the carry where the opcode says .cc (i.flag).
template <class T>
void add_carry(Thread& t, const Insn& i, T x, T y, bool carry) {
  Wide<T> sum = static_cast<Wide<T>>(x) + y + carry;
  set<T>(t, i.dst, static_cast<T>(sum));
  if (i.flag) t.carry = sum >> (8 * sizeof(T)) & 1;
}
template <class T, bool subtract, bool use>
void chain(Thread& t, const Insn& i) {
  T y = get<T>(t, i.b);
  // a - b - borrow is a + ~b + !borrow; the flag holds the borrow inverted, as add_carry leaves it.
  if (subtract)
    add_carry<T>(t, i, get<T>(t, i.a), static_cast<T>(~y), use ? t.carry : true);
  else
    add_carry<T>(t, i, get<T>(t, i.a), y, use && t.carry);
}
template <class T, bool upper, bool use>
void mad_chain(Thread& t, const Insn& i) {
  T product = upper ? high(get<T>(t, i.a), get<T>(t, i.b)) : low(get<T>(t, i.a), get<T>(t, i.b));
  add_carry<T>(t, i, product, get<T>(t, i.c), use && t.carry);
}

Handler pick_chain(const std::string& op, const std::string& type, const ptx::Statement& s) {
  bool wide = ptx::type_size(type) == 8, upper = s.has("hi");
  if (op == "add") return wide ? chain<uint64_t, false, false> : chain<uint32_t, false, false>;
  if (op == "addc") return wide ? chain<uint64_t, false, true> : chain<uint32_t, false, true>;
  if (op == "sub") return wide ? chain<uint64_t, true, false> : chain<uint32_t, true, false>;
  if (op == "subc") return wide ? chain<uint64_t, true, true> : chain<uint32_t, true, true>;
  if (type[0] == 's' && upper) return nullptr;
  if (op == "mad" && upper) return wide ? mad_chain<uint64_t, true, false> : mad_chain<uint32_t, true, false>;
  if (op == "mad") return wide ? mad_chain<uint64_t, false, false> : mad_chain<uint32_t, false, false>;
  if (op == "madc" && upper) return wide ? mad_chain<uint64_t, true, true> : mad_chain<uint32_t, true, true>;
  if (op == "madc") return wide ? mad_chain<uint64_t, false, true> : mad_chain<uint32_t, false, true>;
  return nullptr;
}

void add_saturated(Thread& t, const Insn& i) {
  int64_t sum = static_cast<int64_t>(get<int32_t>(t, i.a)) +
                (i.flag ? -1 : 1) * static_cast<int64_t>(get<int32_t>(t, i.b));
  set<int32_t>(t, i.dst, static_cast<int32_t>(std::clamp<int64_t>(sum, INT32_MIN, INT32_MAX)));
}

}  // namespace

Handler pick_integer(const ptx::Statement& s, Insn& i) {
  const std::string& op = s.opcode[0];
  std::string type = last_type(s);
  if (type.empty() || type[0] == 'f' || type[0] == 'p') return nullptr;
  if (s.has("cc") || op == "addc" || op == "subc" || op == "madc") {
    i.flag = s.has("cc");
    return pick_chain(op, type, s);
  }
  if (s.has("sat")) {
    i.flag = op == "sub";
    return (op == "add" || op == "sub") && type == "s32" ? add_saturated : nullptr;
  }
  if (op == "add") return by_integer<Add, Binary>(type);
  if (op == "sub") return by_integer<Sub, Binary>(type);
  if ((op == "mul" || op == "mad") && s.has("wide")) {
    bool mad = op == "mad";
    if (type == "u16") return mad ? mad_wide<uint16_t> : mul_wide<uint16_t>;
    if (type == "s16") return mad ? mad_wide<int16_t> : mul_wide<int16_t>;
    if (type == "u32") return mad ? mad_wide<uint32_t> : mul_wide<uint32_t>;
    if (type == "s32") return mad ? mad_wide<int32_t> : mul_wide<int32_t>;
    return nullptr;
  }
  if (op == "mul") return s.has("hi") ? by_integer<MulHigh, Binary>(type) : by_integer<MulLow, Binary>(type);
  if (op == "mad")
    return s.has("hi") ? by_integer<MadHigh, Ternary>(type) : by_integer<MadLow, Ternary>(type);
  if (op == "mul24" && s.has("lo"))
    return type == "u32" ? Binary<Mul24, uint32_t>::run : Binary<Mul24, int32_t>::run;
  if (op == "div") return by_integer<Div, Binary>(type);
  if (op == "rem") return by_integer<Rem, Binary>(type);
  if (op == "min") return by_integer<Min, Binary>(type);
  if (op == "max") return by_integer<Max, Binary>(type);
  if (op == "neg") return by_integer<Neg, Unary>(type);
  if (op == "abs") return by_integer<Abs, Unary>(type);
  if (op == "sad") return by_integer<Sad, Ternary>(type);
  return nullptr;
}

}  // namespace gpusim
