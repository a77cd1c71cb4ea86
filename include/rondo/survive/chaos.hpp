/// Faults on demand: how tests and `scripts/chaos` let a rank die, hang, stop or crawl at a chosen moment.
///
/// RONDO_CHAOS="rank=1,step=37,phase=backward,fault=kill", several separated by ';'. Keys: `rank`, `step`,
/// `phase` (see Phase), `bucket` (not before so many were sent), `attempt` (of `rondo launch`, from 0; -1:
/// every one; 0 if not given) and `fault`:
///   kill, segv   the signal           exit   _exit(3), without a word
///   stop         SIGSTOP              hang   the training thread sleeps for ever
///   slow         5 ms at this entry to a phase and the next 400
#pragma once

namespace rondo {

/// Reads the variable; does nothing, and costs nothing later, when it is not set. InputError when it is
/// wrong.
void arm_chaos(int rank);

}  // namespace rondo
