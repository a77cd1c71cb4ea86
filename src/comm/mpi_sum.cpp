#include "mpi_sum.hpp"

#include <algorithm>
#include <utility>

namespace rondo {

Advance MpiSum::advance(const SumJob& job) {
  if (request_ == MPI_REQUEST_NULL) {
    const std::size_t count = std::min(kMpiBytes / sizeof(std::uint32_t), job.words - at_);
    mpi_check(MPI_Iallreduce(MPI_IN_PLACE, job.data + at_, static_cast<int>(count),
                             job.type == SumType::int32 ? MPI_UINT32_T : MPI_FLOAT, MPI_SUM, mpi_, &request_),
              "MPI_Iallreduce");
    at_ += count;
    return Advance::moved;
  }
  if (!completed(request_)) return Advance::waiting;
  if (at_ < job.words) return Advance::moved;
  at_ = 0;
  return Advance::done;
}

void mpi_all_reduce(Communicator& comm, const std::uint32_t* from, std::span<std::uint32_t> to,
                    SumType type) {
  for (std::size_t at = 0; at < to.size();) {
    const std::size_t count = std::min(kMpiBytes / sizeof(std::uint32_t), to.size() - at);
    const MPI_Datatype kind = type == SumType::int32 ? MPI_UINT32_T : MPI_FLOAT;
    mpi_check(
        MPI_Allreduce(from == to.data() ? MPI_IN_PLACE : from + at, to.data() + at, static_cast<int>(count),
                      kind, MPI_SUM, dynamic_cast<MpiCommunicator&>(comm).handle()),
        "MPI_Allreduce");
    at += count;
  }
}

}  // namespace rondo
