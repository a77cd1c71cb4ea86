// A drop-in for the part of libnccl that a trainer calls: ranks of MPI's world, sums of 32-bit numbers, as
// operations on simulated streams. Non-blocking communicators answer late, as the real ones do.
#include "nccl/collective.hpp"
#include "runtime/enqueue.h"

using namespace gpusim;

namespace {

std::string last_error;

int run(void* argument) { return static_cast<AllReduce*>(argument)->advance() ? 1 : 0; }
void destroy(void* argument) { delete static_cast<AllReduce*>(argument); }

ncclResult_t refuse(ncclComm_t comm, const std::string& why) {
  (comm != nullptr ? comm->error : last_error) = why;
  return ncclInvalidArgument;
}

}  // namespace

extern "C" {

ncclResult_t ncclGetVersion(int* version) {
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}

// The real one succeeds without a card, too.
ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  *id = ncclUniqueId{};
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId, int rank,
                                    ncclConfig_t* config) {
  int initialized = 0, size = 0, mine = 0;
  MPI_Initialized(&initialized);
  if (initialized == 0) return refuse(nullptr, "the simulated NCCL needs MPI to be initialised");
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  MPI_Comm_rank(MPI_COMM_WORLD, &mine);
  if ((ranks != size || rank != mine) && ranks != 1)
    return refuse(nullptr, "the simulated NCCL knows all of MPI's ranks in their order, or one alone");
  *comm = new ncclComm;
  (*comm)->size = ranks;
  (*comm)->rank = rank;
  MPI_Comm_idup(ranks == 1 ? MPI_COMM_SELF : MPI_COMM_WORLD, &(*comm)->mpi, &(*comm)->request);
  if (config != nullptr && config->blocking == 0) return ncclInProgress;
  while ((*comm)->state == ncclInProgress) advance_joining(**comm);
  return (*comm)->state;
}

ncclResult_t ncclCommInitRank(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank) {
  return ncclCommInitRankConfig(comm, ranks, id, rank, nullptr);
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* state) {
  advance_joining(*comm);
  *state = comm->state;
  return ncclSuccess;
}

ncclResult_t ncclAllReduce(const void* from, void* to, size_t count, ncclDataType_t type, ncclRedOp_t op,
                           ncclComm_t comm, cudaStream_t stream) {
  if (comm->state != ncclSuccess) return comm->state;
  if (type != ncclInt32 && type != ncclUint32 && type != ncclFloat32)
    return refuse(comm, "the simulated NCCL sums 32-bit numbers only");
  if (op != ncclSum) return refuse(comm, "the simulated NCCL only sums");
  const size_t bytes = count * AllReduce::kBytes;
  const gpusim_range ranges[] = {{from, bytes, 0, 1, 0}, {to, bytes, 1, 1, 0}};
  const cudaError_t error = gpusim_enqueue(stream, "ncclAllReduce", ranges, 2, run,
                                           new AllReduce(*comm, from, to, count, type), destroy);
  return error == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError;
}

ncclResult_t ncclCommCount(ncclComm_t comm, int* count) {
  *count = comm->size;
  return ncclSuccess;
}
ncclResult_t ncclCommUserRank(ncclComm_t comm, int* rank) {
  *rank = comm->rank;
  return ncclSuccess;
}

// What is queued ends at once: MPI's communicator is left, because peers may still speak on it.
ncclResult_t ncclCommAbort(ncclComm_t comm) {
  comm->state = ncclInvalidUsage;
  return ncclSuccess;
}
ncclResult_t ncclCommFinalize(ncclComm_t) { return ncclSuccess; }
ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (finalized == 0 && comm->mpi != MPI_COMM_NULL) MPI_Comm_free(&comm->mpi);
  delete comm;
  return ncclSuccess;
}

const char* ncclGetLastError(ncclComm_t comm) {
  return comm != nullptr ? comm->error.c_str() : last_error.c_str();
}

const char* ncclGetErrorString(ncclResult_t code) {
  switch (code) {
    case ncclSuccess:
      return "no error";
    case ncclUnhandledCudaError:
      return "unhandled cuda error";
    case ncclInvalidArgument:
      return "invalid argument";
    case ncclInvalidUsage:
      return "invalid usage";
    case ncclRemoteError:
      return "remote process exited or there was a network error";
    case ncclInProgress:
      return "NCCL operation in progress";
    default:
      return "unknown result code";
  }
}

}  // extern "C"
