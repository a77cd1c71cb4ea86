#include "rondo/core/clock.hpp"

#include <chrono>  // not in the header, which nearly every file takes: it is long

namespace rondo {

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace rondo
