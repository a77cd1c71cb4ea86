// One all-reduce between processes, as a state machine that is asked again until it is done: ranks first tell
// each other what they are about to do, which finds a mismatch that would hang or corrupt a real NCCL.
#pragma once

#define OMPI_SKIP_MPICXX 1  // the old C++ interface is another library
#include <mpi.h>
#include <nccl.h>

#include <cstdint>
#include <string>
#include <vector>

// The communicator behind NCCL's handle.
struct ncclComm {
  MPI_Comm mpi = MPI_COMM_NULL;
  int rank = 0, size = 1;
  ncclResult_t state = ncclInProgress;
  std::string error;
  uint64_t started = 0;  // collectives, for the headers
  // Joining: the duplicate of MPI's world, then who has which card.
  int phase = 0;
  MPI_Request request = MPI_REQUEST_NULL;
  uint64_t card = 0;
  std::vector<uint64_t> cards;
};

namespace gpusim {

// Takes part in joining; sets comm.state when it is over.
void advance_joining(ncclComm& comm);

class AllReduce {
 public:
  AllReduce(ncclComm& comm, const void* from, void* to, size_t count, ncclDataType_t type);
  // True when done; a mismatch or an injected failure ends it with comm.state set.
  bool advance();

  static constexpr size_t kBytes = 4;  // of an element: 32-bit types only

 private:
  struct Header {
    uint64_t number, count, type;
    bool operator==(const Header&) const = default;
  };
  bool headers_agree();

  ncclComm& comm_;
  const void* from_;
  void* to_;
  size_t count_;
  ncclDataType_t type_;
  Header mine_;
  std::vector<Header> all_;
  int phase_ = 0;
  MPI_Request request_ = MPI_REQUEST_NULL;
};

}  // namespace gpusim
