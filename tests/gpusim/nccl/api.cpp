// A drop-in for the part of libnccl that a data-parallel trainer calls, between processes of one host. As the
// real one it wants a GPU for each rank (GPUSIM_DEVICES), and a communicator that was made without blocking
// is ready only when ncclCommGetAsyncError says so.
#include <nccl.h>
#include <sched.h>

#include <vector>

#include "nccl/collective.hpp"
#include "runtime/enqueue.h"

struct ncclComm {
  std::shared_ptr<gpusim::Communicator> shared;
  ncclUniqueId id;
  bool ready = false;
  int device = 0;
};

namespace gpusim {
namespace {

thread_local std::string last_error;

ncclResult_t fail(ncclResult_t result, const std::string& why) {
  last_error = why;
  return result;
}

ncclResult_t state_of(ncclComm* comm) {
  Communicator& c = *comm->shared;
  if (c.failed) return fail(ncclRemoteError, "a failure was asked for");
  if (comm->ready) return ncclSuccess;
  if (c.segment->joined < c.ranks) return ncclInProgress;
  for (int r = 0; r < c.ranks; ++r)
    if (r != c.rank && c.segment->ranks[r].device == comm->device + 1)
      return fail(ncclInvalidUsage, "Duplicate GPU detected: rank " + std::to_string(c.rank) + " and rank " +
                                        std::to_string(r) + " both on device " +
                                        std::to_string(comm->device));
  Segment::remove(comm->id);
  comm->ready = true;
  return ncclSuccess;
}

int run(void* work) { return static_cast<Collective*>(work)->advance(); }
void destroy(void* work) { delete static_cast<Collective*>(work); }

ncclResult_t enqueue(ncclComm* comm, Kind kind, const void* send, void* receive, size_t count,
                     ncclDataType_t type, int op, int root, cudaStream_t stream, const char* name) {
  if (!comm || !comm->ready) return fail(ncclInvalidArgument, "the communicator is not ready");
  size_t size = type_bytes(type);
  if (size == 0) return fail(ncclInvalidArgument, "the simulated NCCL does not have this type");
  if (count == 0) return ncclSuccess;
  Communicator& c = *comm->shared;
  size_t ranks = static_cast<size_t>(c.ranks);
  size_t sent = count * (kind == reduce_scatter ? ranks : 1),
         received = count * (kind == all_gather ? ranks : 1);
  std::vector<gpusim_range> ranges;
  if (kind != broadcast || c.rank == root) ranges.push_back({send, sent * size, 0, 1, 0});
  if (kind != reduce || c.rank == root) ranges.push_back({receive, received * size, 1, 1, 0});
  if (kind == broadcast && c.rank != root) send = receive;  // something to post, that nobody reads
  auto* work = new Collective(comm->shared, {kind, type, op, root, count}, send, receive);
  cudaError_t error = gpusim_enqueue(stream, name, ranges.data(), ranges.size(), run, work, destroy);
  gpusim_progress_in_background();  // other ranks need ours, whatever our host does meanwhile
  return error == cudaSuccess ? ncclSuccess : fail(ncclUnhandledCudaError, cudaGetErrorString(error));
}

}  // namespace
}  // namespace gpusim

using namespace gpusim;

extern "C" {

ncclResult_t ncclGetVersion(int* version) {
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}
ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  *id = Segment::create();
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* out, int ranks, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  int device = 0;
  if (cudaGetDevice(&device) != cudaSuccess) return fail(ncclUnhandledCudaError, "no CUDA device");
  if (rank < 0 || rank >= ranks || ranks > most_ranks)
    return fail(ncclInvalidArgument, "rank or number of ranks out of range");
  Segment* segment = Segment::join(id);
  if (!segment) return fail(ncclSystemError, "no such unique id");
  auto* comm = new ncclComm{std::make_shared<Communicator>(), id, false, device};
  comm->shared->segment = segment;
  comm->shared->rank = rank;
  comm->shared->ranks = ranks;
  *out = comm;
  segment->ranks[rank].device = device + 1;
  ++segment->joined;
  if (config && config->blocking == 0) return ncclInProgress;
  ncclResult_t state;
  while ((state = state_of(comm)) == ncclInProgress) sched_yield();
  return state;
}
ncclResult_t ncclCommInitRank(ncclComm_t* out, int ranks, ncclUniqueId id, int rank) {
  return ncclCommInitRankConfig(out, ranks, id, rank, nullptr);
}
ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* state) {
  *state = state_of(comm);
  return ncclSuccess;
}
ncclResult_t ncclCommFinalize(ncclComm_t) { return ncclSuccess; }
ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  delete comm;  // operations in flight hold what they share
  return ncclSuccess;
}
ncclResult_t ncclCommAbort(ncclComm_t comm) {
  comm->shared->aborted = true;  // what is in flight ends without a result
  if (!comm->ready) Segment::remove(comm->id);
  delete comm;
  return ncclSuccess;
}
ncclResult_t ncclCommCount(ncclComm_t comm, int* count) {
  *count = comm->shared->ranks;
  return ncclSuccess;
}
ncclResult_t ncclCommUserRank(ncclComm_t comm, int* rank) {
  *rank = comm->shared->rank;
  return ncclSuccess;
}
ncclResult_t ncclCommCuDevice(ncclComm_t comm, int* device) {
  *device = comm->device;
  return ncclSuccess;
}
const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return "no error";
    case ncclUnhandledCudaError:
      return "unhandled cuda error";
    case ncclSystemError:
      return "unhandled system error";
    case ncclInvalidArgument:
      return "invalid argument";
    case ncclInvalidUsage:
      return "invalid usage";
    case ncclInProgress:
      return "NCCL operation in progress";
    case ncclRemoteError:
      return "remote process exited or there was a network error";
    default:
      return "internal error";
  }
}
const char* ncclGetLastError(ncclComm_t) { return last_error.c_str(); }

// Every call is queued at once, so a group has nothing to do.
ncclResult_t ncclGroupStart() { return ncclSuccess; }
ncclResult_t ncclGroupEnd() { return ncclSuccess; }

ncclResult_t ncclMemAlloc(void** p, size_t size) {
  return cudaMalloc(p, size) == cudaSuccess ? ncclSuccess : fail(ncclUnhandledCudaError, "out of memory");
}
ncclResult_t ncclMemFree(void* p) {
  return cudaFree(p) == cudaSuccess ? ncclSuccess : fail(ncclUnhandledCudaError, "cudaFree");
}
ncclResult_t ncclCommRegister(const ncclComm_t, void* p, size_t, void** handle) {
  *handle = p;
  return ncclSuccess;
}
ncclResult_t ncclCommDeregister(const ncclComm_t, void*) { return ncclSuccess; }

ncclResult_t ncclAllReduce(const void* send, void* receive, size_t count, ncclDataType_t type, ncclRedOp_t op,
                           ncclComm_t comm, cudaStream_t stream) {
  return enqueue(comm, all_reduce, send, receive, count, type, op, 0, stream, "ncclAllReduce");
}
ncclResult_t ncclBroadcast(const void* send, void* receive, size_t count, ncclDataType_t type, int root,
                           ncclComm_t comm, cudaStream_t stream) {
  return enqueue(comm, broadcast, send, receive, count, type, 0, root, stream, "ncclBroadcast");
}
ncclResult_t ncclReduce(const void* send, void* receive, size_t count, ncclDataType_t type, ncclRedOp_t op,
                        int root, ncclComm_t comm, cudaStream_t stream) {
  return enqueue(comm, reduce, send, receive, count, type, op, root, stream, "ncclReduce");
}
ncclResult_t ncclAllGather(const void* send, void* receive, size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream) {
  return enqueue(comm, all_gather, send, receive, count, type, 0, 0, stream, "ncclAllGather");
}
ncclResult_t ncclReduceScatter(const void* send, void* receive, size_t count, ncclDataType_t type,
                               ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
  return enqueue(comm, reduce_scatter, send, receive, count, type, op, 0, stream, "ncclReduceScatter");
}

}  // extern "C"
