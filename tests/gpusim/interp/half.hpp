// The two 16-bit formats by integer code; `truncate` is round towards zero, else to nearest even.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace gpusim {

inline float from_bfloat(uint16_t h) { return std::bit_cast<float>(uint32_t{h} << 16); }
inline uint16_t to_bfloat(float x, bool truncate) {
  auto u = std::bit_cast<uint32_t>(x);
  if (x != x) return 0x7fff;
  if (!truncate) u += 0x7fff + (u >> 16 & 1);
  return static_cast<uint16_t>(u >> 16);
}

inline float from_half(uint16_t h) {
  int exponent = h >> 10 & 31;
  auto fraction = static_cast<float>(h & 1023);
  float x = exponent == 31 ? (h & 1023 ? NAN : INFINITY)
            : exponent     ? std::ldexp(1024 + fraction, exponent - 25)
                           : std::ldexp(fraction, -24);
  return h & 0x8000 ? -x : x;
}
inline uint16_t to_half(float x, bool truncate) {
  if (x != x) return 0x7fff;
  uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  float a = std::fabs(x);
  if (std::isinf(a)) return static_cast<uint16_t>(sign | 0x7c00);
  int exponent = a == 0 ? -14 : std::max(std::ilogb(a), -14);
  float scaled = std::ldexp(a, 10 - exponent);  // an integer below 2048, and what lies beyond the format
  auto units = static_cast<uint32_t>(truncate ? std::trunc(scaled) : std::nearbyint(scaled));
  uint32_t bits = (static_cast<uint32_t>(exponent + 14) << 10) + units;  // a carry climbs into the exponent
  if (bits >= 0x7c00) bits = truncate ? 0x7bff : 0x7c00;
  return static_cast<uint16_t>(sign | bits);
}

}  // namespace gpusim
