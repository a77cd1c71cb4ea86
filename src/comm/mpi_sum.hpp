/// Sums by MPI's own all-reduce: what the other algorithms are measured against.
#pragma once

#include "sum_algorithm.hpp"

namespace rondo {

class MpiSum final : public SumAlgorithm {
 public:
  explicit MpiSum(MPI_Comm mpi) : mpi_(mpi) {}
  ~MpiSum() override { settle(mpi_, request_); }
  Advance advance(const SumJob& job) override;
  std::string waiting_for() const override { return "all ranks to join MPI_Iallreduce"; }

 private:
  const MPI_Comm mpi_;
  MPI_Request request_ = MPI_REQUEST_NULL;
  std::size_t at_ = 0;  // words of the current job that were given to MPI
};

}  // namespace rondo
