// The one gate in front of oneDNN. If OpenMP delivers fewer threads than oneDNN expects (OMP_DYNAMIC,
// OMP_THREAD_LIMIT), a matrix product leaves part of its output unwritten, without an error; and
// omp_set_num_threads holds for one thread only. So every thread that calls oneDNN passes here first.
#pragma once

namespace rondo {

/// Sets this thread's OpenMP to exactly `threads`, not dynamic, checks the team it really gets, and sets
/// the floating-point mode (round to nearest, subnormals kept). Cheap after the first call of a thread.
/// Throws InputError when the environment does not allow that many threads.
void enter_thread_gate(int threads);

}  // namespace rondo
