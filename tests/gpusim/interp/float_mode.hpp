// What surrounds a float operation on the card: denormals to zero, rounding, saturation, one NaN.
#pragma once

#include <cfenv>
#include <cmath>

#include "interp/thread.hpp"

namespace gpusim {

inline float flushed(float x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0f, x) : x; }

template <class T>
T operand(const Thread& t, const Insn& i, uint32_t s) {
  T x = get<T>(t, s);
  if constexpr (std::is_same_v<T, float>) {
    if (i.ftz) return flushed(x);
  }
  return x;
}

template <class T>
void finish(Thread& t, const Insn& i, T x) {
  if constexpr (std::is_same_v<T, float>) {
    if (i.ftz) x = flushed(x);
    if (x != x) x = std::bit_cast<float>(0x7fffffffu);  // the card's only NaN
  }
  if (i.saturate) x = !(x > 0) ? T{0} : x > 1 ? T{1} : x;
  set<T>(t, i.dst, x);
}

// Runs an operation under a rounding mode; the file that uses it is compiled with -frounding-math.
template <class Operation>
auto rounded(Rounding mode, Operation operation) {
  if (mode == Rounding::nearest) return operation();
  static const int modes[] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD};
  std::fesetround(modes[static_cast<int>(mode)]);
  auto result = operation();
  std::fesetround(FE_TONEAREST);
  return result;
}

}  // namespace gpusim
