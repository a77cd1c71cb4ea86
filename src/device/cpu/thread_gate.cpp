#include "thread_gate.hpp"

#include <omp.h>

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#include "rondo/core/error.hpp"

namespace rondo {
namespace {

#if defined(__SSE__)
constexpr unsigned kFloatMode = 0x1F80;  // MXCSR after reset: all masked, nearest, no flush to zero
void set_float_mode() {
  if ((_mm_getcsr() & ~0x3Fu) != kFloatMode) _mm_setcsr(kFloatMode);
}
#else
void set_float_mode() {}
#endif

}  // namespace

void enter_thread_gate(int threads) {
  thread_local int settled = 0;
  set_float_mode();
  if (settled == threads && omp_get_max_threads() == threads && omp_get_dynamic() == 0) return;
  omp_set_dynamic(0);
  omp_set_num_threads(threads);
  int team = 0;
#pragma omp parallel
  {
    set_float_mode();
#pragma omp single
    team = omp_get_num_threads();
  }
  if (team != threads)
    input_error(
        "device.threads = {}, but OpenMP delivers {} (OMP_THREAD_LIMIT = {}): raise the limit or lower "
        "device.threads",
        threads, team, omp_get_thread_limit());
  settled = threads;
}

}  // namespace rondo
