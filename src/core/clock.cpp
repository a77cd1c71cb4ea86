#include "rondo/core/clock.hpp"

#include <chrono>  // here alone: nearly every file takes the header, and this one is long

namespace rondo {

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace rondo
