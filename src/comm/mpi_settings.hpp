/// What Rondo asks of Open MPI beyond its defaults.
#pragma once

namespace rondo {

/// To be called before MPI_Init. What the user has set stays.
void prepare_mpi();

}  // namespace rondo
