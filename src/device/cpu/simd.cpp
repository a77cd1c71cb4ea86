#include "rondo/device/simd.hpp"

#include <array>

namespace rondo {

extern const Simd baseline_table, avx2_table, avx512_table;

namespace {

struct Tables {
  std::array<const Simd*, 3> table{};
  std::size_t count = 0;

  Tables() {
    table[count++] = &baseline_table;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) table[count++] = &avx2_table;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
      table[count++] = &avx512_table;
#endif
  }
};

const Tables& tables() {
  static const Tables found;
  return found;
}

}  // namespace

const Simd& simd() {
  static const Simd& best = *tables().table[tables().count - 1];
  return best;
}

const Simd* const* simd_tables(std::size_t* count) {
  *count = tables().count;
  return tables().table.data();
}

}  // namespace rondo
