#include "ulfm.hpp"

#include <mpi-ext.h>
#include <netinet/in.h>
#include <pmix.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "mpi_communicator.hpp"

// Instead of the C library's, for every library of this program: where the job may lose ranks, a message that
// finds its TCP connection broken is told to wait. Open MPI finds the break by itself when it next looks at
// its sockets. In 5.0.7 a message of a vote must not be the first to find it: the news is put off with a
// pointer to the vote, which may have ended by then, and writes through it (era_mark_process_failed in
// ompi/mca/coll/ftagree).
extern "C" ssize_t writev(int file, const iovec* parts, int count) {
  const ssize_t written = syscall(SYS_writev, long{file}, parts, long{count});
  if (written >= 0 || !rondo::ulfm::active()) return written;
  const int why = errno;
  if (why != EPIPE && why != ECONNRESET && why != ETIMEDOUT && why != EHOSTUNREACH && why != ENETUNREACH)
    return written;
  int protocol = 0;
  socklen_t size = sizeof protocol;
  const bool tcp =
      getsockopt(file, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) == 0 && protocol == IPPROTO_TCP;
  errno = tcp ? EAGAIN : why;
  return -1;
}

namespace rondo {

bool mpi_has_ulfm() { return true; }

namespace ulfm {

bool active() {
  static const bool is = [] {
    const char* value = std::getenv("OMPI_MCA_mpi_ft_enable");  // what --with-ft ulfm sets for its ranks
    return value != nullptr && (std::string_view(value) == "1" || std::string_view(value) == "true");
  }();
  return is;
}

bool is_loss(int code) {
  int kind = MPI_SUCCESS;
  if (!active() || MPI_Error_class(code, &kind) != MPI_SUCCESS) return false;
  return kind == MPIX_ERR_PROC_FAILED || kind == MPIX_ERR_PROC_FAILED_PENDING || kind == MPIX_ERR_REVOKED;
}

// As mpirun's own notice would arrive: Open MPI listens to this event.
void tell_dead(int world_rank) {
  const char* job = std::getenv("PMIX_NAMESPACE");
  if (!active() || job == nullptr) return;
  pmix_proc_t dead;
  PMIX_LOAD_PROCID(&dead, job, static_cast<pmix_rank_t>(world_rank));
  pmix_info_t about;
  PMIX_INFO_CONSTRUCT(&about);
  PMIX_INFO_LOAD(&about, PMIX_EVENT_AFFECTED_PROC, &dead, PMIX_PROC);
  PMIx_Notify_event(PMIX_ERR_PROC_ABORTED, &dead, PMIX_RANGE_PROC_LOCAL, &about, 1, nullptr, nullptr);
  PMIX_INFO_DESTRUCT(&about);
}

void revoke(MPI_Comm comm) { mpi_check(MPIX_Comm_revoke(comm), "MPIX_Comm_revoke"); }

bool revoked(MPI_Comm comm) {
  int is = 0;
  mpi_check(MPIX_Comm_is_revoked(comm, &is), "MPIX_Comm_is_revoked");
  return is != 0;
}

void begin_agree(MPI_Comm comm, int& flag, MPI_Request& request) {
  mpi_check(MPIX_Comm_iagree(comm, &flag, &request), "MPIX_Comm_iagree");
}

MPI_Comm shrink(MPI_Comm comm) {
  MPI_Comm survivors = MPI_COMM_NULL;
  mpi_check(MPIX_Comm_shrink(comm, &survivors), "MPIX_Comm_shrink");
  mpi_check(MPI_Comm_set_errhandler(survivors, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  return survivors;
}

}  // namespace ulfm
}  // namespace rondo
