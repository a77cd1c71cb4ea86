// cvt between integers, f16, bf16, f32 and f64.
#include <algorithm>
#include <limits>

#include "interp/float_mode.hpp"
#include "interp/half.hpp"
#include "interp/pick.hpp"

namespace gpusim {
namespace {

// Integer to integer: truncates, or with .sat clamps.
template <class To, class From>
void int_to_int(Thread& t, const Insn& i) {
  From a = get<From>(t, i.a);
  if (i.saturate) {
    __int128 wide = a, lowest = std::numeric_limits<To>::min(), highest = std::numeric_limits<To>::max();
    wide = wide < lowest ? lowest : wide > highest ? highest : wide;
    return set<To>(t, i.dst, static_cast<To>(wide));
  }
  set<To>(t, i.dst, static_cast<To>(a));
}

template <class To, class From>
void int_to_float(Thread& t, const Insn& i) {
  volatile From a = get<From>(t, i.a);
  finish<To>(t, i, rounded(i.rounding, [&] {
               volatile To r = static_cast<To>(a);
               return static_cast<To>(r);
             }));
}

template <class T>
T to_integral(T x, Rounding mode) {
  switch (mode) {
    case Rounding::zero:
      return std::trunc(x);
    case Rounding::down:
      return std::floor(x);
    case Rounding::up:
      return std::ceil(x);
    default:
      return std::nearbyint(x);
  }
}

// Out of range clamps, NaN is 0 (as the cards do for 32-bit results; 64-bit ones give the smallest number).
template <class To, class From>
void float_to_int(Thread& t, const Insn& i) {
  From x = operand<From>(t, i, i.a);
  if (x != x) {
    bool wide = sizeof(To) == 8 || sizeof(From) == 8;
    return set<To>(t, i.dst, wide ? static_cast<To>(uint64_t{1} << (8 * sizeof(To) - 1)) : To{0});
  }
  x = to_integral(x, i.rounding);
  // 2^bits is exact in every format, the largest integer is not.
  auto limit = std::ldexp(From{1}, std::numeric_limits<To>::digits);
  if (x >= limit) return set<To>(t, i.dst, std::numeric_limits<To>::max());
  if (x < static_cast<From>(std::numeric_limits<To>::min()))
    return set<To>(t, i.dst, std::numeric_limits<To>::min());
  set<To>(t, i.dst, static_cast<To>(x));
}

template <class T>
void float_to_integral(Thread& t, const Insn& i) {  // cvt.rni.f32.f32
  finish<T>(t, i, to_integral(operand<T>(t, i, i.a), i.rounding));
}
template <class T>
void float_same(Thread& t, const Insn& i) {
  finish<T>(t, i, operand<T>(t, i, i.a));
}
void widen(Thread& t, const Insn& i) { finish<double>(t, i, operand<float>(t, i, i.a)); }
void narrow(Thread& t, const Insn& i) {
  volatile double a = get<double>(t, i.a);
  finish<float>(t, i, rounded(i.rounding, [&] {
                  volatile float r = static_cast<float>(a);
                  return static_cast<float>(r);
                }));
}

void half_to_float(Thread& t, const Insn& i) { finish<float>(t, i, from_half(get<uint16_t>(t, i.a))); }
void bfloat_to_float(Thread& t, const Insn& i) { finish<float>(t, i, from_bfloat(get<uint16_t>(t, i.a))); }
uint16_t half_of(const Insn& i, float x) {
  return i.flag ? to_bfloat(x, i.rounding == Rounding::zero) : to_half(x, i.rounding == Rounding::zero);
}
void float_to_half(Thread& t, const Insn& i) {
  set<uint16_t>(t, i.dst, half_of(i, operand<float>(t, i, i.a)));
}
void floats_to_halves(Thread& t, const Insn& i) {  // cvt.rn.bf16x2.f32 d, upper, lower
  uint32_t upper = half_of(i, operand<float>(t, i, i.a)), lower = half_of(i, operand<float>(t, i, i.b));
  set<uint32_t>(t, i.dst, upper << 16 | lower);
}
template <class To>
void half_to_int(Thread& t, const Insn& i) {
  float x = to_integral(from_half(get<uint16_t>(t, i.a)), i.rounding);
  set<To>(t, i.dst,
          x != x ? To{0}
                 : static_cast<To>(std::clamp<double>(x, std::numeric_limits<To>::min(),
                                                      std::numeric_limits<To>::max())));
}
template <class From>
void int_to_half(Thread& t, const Insn& i) {
  set<uint16_t>(t, i.dst, to_half(static_cast<float>(get<From>(t, i.a)), i.rounding == Rounding::zero));
}

template <class From>
Handler from_integer(const std::string& to) {
  if (to == "u8") return int_to_int<uint8_t, From>;
  if (to == "s8") return int_to_int<int8_t, From>;
  if (to == "u16") return int_to_int<uint16_t, From>;
  if (to == "s16") return int_to_int<int16_t, From>;
  if (to == "u32") return int_to_int<uint32_t, From>;
  if (to == "s32") return int_to_int<int32_t, From>;
  if (to == "u64") return int_to_int<uint64_t, From>;
  if (to == "s64") return int_to_int<int64_t, From>;
  if (to == "f32") return int_to_float<float, From>;
  if (to == "f64") return int_to_float<double, From>;
  if (to == "f16") return int_to_half<From>;
  return nullptr;
}

template <class From>
Handler from_float(const std::string& to) {
  if (to == "u8") return float_to_int<uint8_t, From>;
  if (to == "s8") return float_to_int<int8_t, From>;
  if (to == "u16") return float_to_int<uint16_t, From>;
  if (to == "s16") return float_to_int<int16_t, From>;
  if (to == "u32") return float_to_int<uint32_t, From>;
  if (to == "s32") return float_to_int<int32_t, From>;
  if (to == "u64") return float_to_int<uint64_t, From>;
  if (to == "s64") return float_to_int<int64_t, From>;
  return nullptr;
}

}  // namespace

Handler pick_convert(const ptx::Statement& s, Insn& i) {
  std::string to = first_type(s), from = last_type(s);
  if (s.opcode[0] != "cvt" || s.has("relu") || s.has("satfinite")) return nullptr;
  bool integral = s.has("rni") || s.has("rzi") || s.has("rmi") || s.has("rpi");
  i.flag = to == "bf16" || to == "bf16x2";
  if (from == "u8") return from_integer<uint8_t>(to);
  if (from == "s8") return from_integer<int8_t>(to);
  if (from == "u16") return from_integer<uint16_t>(to);
  if (from == "s16") return from_integer<int16_t>(to);
  if (from == "u32") return from_integer<uint32_t>(to);
  if (from == "s32") return from_integer<int32_t>(to);
  if (from == "u64") return from_integer<uint64_t>(to);
  if (from == "s64") return from_integer<int64_t>(to);
  if (from == "f16")
    return to == "f32"   ? half_to_float
           : to == "s32" ? half_to_int<int32_t>
           : to == "u32" ? half_to_int<uint32_t>
                         : nullptr;
  if (from == "bf16") return to == "f32" ? bfloat_to_float : nullptr;
  if (from == "f32") {
    if (to == "f16" || to == "bf16") return float_to_half;
    if (to == "f16x2" || to == "bf16x2") return floats_to_halves;
    if (to == "f32") return integral ? float_to_integral<float> : float_same<float>;
    if (to == "f64") return widen;
    return from_float<float>(to);
  }
  if (from == "f64") {
    if (to == "f64") return integral ? float_to_integral<double> : float_same<double>;
    if (to == "f32") return narrow;
    return from_float<double>(to);
  }
  return nullptr;
}

}  // namespace gpusim
