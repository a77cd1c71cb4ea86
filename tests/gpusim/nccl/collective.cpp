#include "nccl/collective.hpp"

#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <functional>

#include "runtime/enqueue.h"

namespace gpusim {
namespace {

bool completed(MPI_Request& request) {
  int done = 0;
  MPI_Test(&request, &done, MPI_STATUS_IGNORE);
  return done != 0;
}

void fail(ncclComm& comm, ncclResult_t state, const std::string& why) {
  comm.state = state;
  comm.error = why;
}

// GPUSIM_NCCL_FAIL or GPUSIM_NCCL_HANG = "RANK:N": what happens to that rank's N-th collective.
bool asked_for(const char* variable, int rank, uint64_t number) {
  const char* text = std::getenv(variable);
  return text != nullptr && std::to_string(rank) + ":" + std::to_string(number) == text;
}

uint64_t this_card() {
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  int device = 0;
  cudaGetDevice(&device);
  return std::hash<std::string>{}(std::string(host) + " " + std::to_string(device));
}

}  // namespace

void advance_joining(ncclComm& comm) {
  if (comm.state != ncclInProgress || !completed(comm.request)) return;
  if (comm.phase++ == 0) {
    comm.card = this_card();
    comm.cards.resize(static_cast<size_t>(comm.size));
    MPI_Iallgather(&comm.card, 1, MPI_UINT64_T, comm.cards.data(), 1, MPI_UINT64_T, comm.mpi, &comm.request);
    return;
  }
  for (int a = 0; a < comm.size; ++a)
    for (int b = 0; b < a; ++b)
      if (comm.cards[static_cast<size_t>(a)] == comm.cards[static_cast<size_t>(b)])
        return fail(comm, ncclInvalidUsage,
                    "Duplicate GPU detected : rank " + std::to_string(a) + " and rank " + std::to_string(b));
  comm.state = ncclSuccess;
}

AllReduce::AllReduce(ncclComm& comm, const void* from, void* to, size_t count, ncclDataType_t type)
    : comm_(comm),
      from_(from),
      to_(to),
      count_(count),
      type_(type),
      mine_{comm.started++, count, static_cast<uint64_t>(type)},
      all_(static_cast<size_t>(comm.size)) {}

bool AllReduce::headers_agree() {
  for (size_t r = 0; r < all_.size(); ++r) {
    if (all_[r] == mine_) continue;
    auto text = [](const Header& h) {
      return "number " + std::to_string(h.number) + " of " + std::to_string(h.count) + " elements of type " +
             std::to_string(h.type);
    };
    const std::string why = "mismatched all-reduce: rank " + std::to_string(comm_.rank) + " has " +
                            text(mine_) + ", rank " + std::to_string(r) + " has " + text(all_[r]);
    gpusim_report("NCCL mismatch", why.c_str());
    fail(comm_, ncclInvalidUsage, why);
    return false;
  }
  return true;
}

bool AllReduce::advance() {
  if (comm_.state != ncclSuccess) return true;
  if (phase_ == 0) {
    if (asked_for("GPUSIM_NCCL_HANG", comm_.rank, mine_.number)) return false;
    if (asked_for("GPUSIM_NCCL_FAIL", comm_.rank, mine_.number)) {
      fail(comm_, ncclRemoteError, "a failure was asked for");
      return true;
    }
    MPI_Iallgather(&mine_, sizeof mine_, MPI_BYTE, all_.data(), sizeof mine_, MPI_BYTE, comm_.mpi, &request_);
    phase_ = 1;
  }
  if (!completed(request_)) return false;
  if (phase_ == 2) return true;
  if (!headers_agree()) return true;
  void* to = gpusim_bytes(to_);
  if (from_ != to_) std::memcpy(to, gpusim_bytes(from_), count_ * kBytes);
  MPI_Datatype mpi_type = type_ == ncclFloat32 ? MPI_FLOAT : type_ == ncclInt32 ? MPI_INT32_T : MPI_UINT32_T;
  MPI_Iallreduce(MPI_IN_PLACE, to, static_cast<int>(count_), mpi_type, MPI_SUM, comm_.mpi, &request_);
  phase_ = 2;
  return completed(request_);
}

}  // namespace gpusim
