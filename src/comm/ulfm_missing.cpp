#include "rondo/core/error.hpp"
#include "ulfm.hpp"

namespace rondo {

bool mpi_has_ulfm() { return false; }

namespace ulfm {

bool active() { return false; }
bool is_loss(int) { return false; }
void tell_dead(int) {}
void revoke(MPI_Comm) {}
bool revoked(MPI_Comm) { return false; }
void begin_agree(MPI_Comm, int&, MPI_Request&) { throw Error("this MPI has no fault tolerance"); }
MPI_Comm shrink(MPI_Comm) { throw Error("this MPI has no fault tolerance"); }

}  // namespace ulfm
}  // namespace rondo
