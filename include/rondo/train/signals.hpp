/// Signals as requests: USR1 asks for a checkpoint; USR2, TERM and INT for a checkpoint and the end.
///
/// USR2 is there because of mpirun, which hands it to every rank within milliseconds and waits, as it does
/// USR1. On TERM or INT it gives ranks hardly any time: Open MPI 4.1 passes TERM on after 1 s and kills 1 s
/// later, Open MPI 5.0 after 0.25 s and 0.5 s. A signal sent to one rank is enough: all ranks meet the
/// greatest request after the same step.
#pragma once

#include <cstdint>

namespace rondo {

/// From now on these signals are kept as requests. A second INT ends the process at once.
void install_signal_requests();
std::uint32_t take_request();  ///< the greatest request since the last call, see Request

}  // namespace rondo
