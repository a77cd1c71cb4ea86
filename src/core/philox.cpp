#include "rondo/core/philox.hpp"

#include <cmath>
#include <numbers>

namespace rondo {

double RandomStream::normal(std::uint64_t index) const {
  const PhiloxBlock bits = block(index);
  const double u1 = (static_cast<double>(bits[0]) + 1.0) * 0x1p-32;  // in (0, 1]: the logarithm is finite
  const double u2 = static_cast<double>(bits[1]) * 0x1p-32;
  return std::sqrt(-2.0 * std::log(u1)) * std::cos(2.0 * std::numbers::pi * u2);
}

}  // namespace rondo
