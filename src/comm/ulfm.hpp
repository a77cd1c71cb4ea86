/// All that Rondo uses of ULFM, MPI's user-level failure mitigation: Bland et al., "Post-failure recovery of
/// MPI communication capability" (2013). Open MPI 5 has it, under `mpirun --with-ft ulfm`; elsewhere
/// ulfm_missing.cpp stands in, and nothing is ever active.
#pragma once

#include "mpi_api.hpp"

namespace rondo::ulfm {

/// Whether this job may lose ranks and go on.
bool active();
/// Whether a call failed because a rank died or the communicator was revoked.
bool is_loss(int code);
/// Makes MPI on this rank know that a rank of MPI_COMM_WORLD is dead. mpirun tells it by itself of ranks that
/// a signal killed, some milliseconds later, but never of one that left with an exit code. Any thread may
/// call it.
void tell_dead(int world_rank);

/// Every pending and later call on it fails, on every rank, but for agree() and shrink().
void revoke(MPI_Comm comm);
bool revoked(MPI_Comm comm);
/// Starts a vote: `flag` becomes the bitwise AND of what survivors gave, the same on each, whoever dies
/// meanwhile. The request's error code only says whether anybody has died so far.
void begin_agree(MPI_Comm comm, int& flag, MPI_Request& request);
/// The survivors, in order.
MPI_Comm shrink(MPI_Comm comm);

}  // namespace rondo::ulfm
