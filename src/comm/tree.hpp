/// Recursive doubling (Thakur, Rabenseifner and Gropp, "Optimization of collective communication operations
/// in MPICH", 2005), for small messages: log2(n) exchanges of the whole range.
///
/// In exchange d ranks at a distance of 2^d swap their words and both add. Both add the same two sums, and
/// addition commutes in float32 too, so all ranks end with the same bits. If n is not a power of two, each of
/// the first ranks in excess first gives its words to the next one, which gives back the result.
#pragma once

#include "mapping.hpp"
#include "sum_algorithm.hpp"

namespace rondo {

class Tree final : public SumAlgorithm {
 public:
  Tree(MPI_Comm mpi, const Circle& circle);
  ~Tree() override;
  Advance advance(const SumJob& job) override;
  std::string waiting_for() const override;

 private:
  enum class Kind { give, take, add, swap };
  struct Step {
    Kind kind;
    int partner;
  };

  const MPI_Comm mpi_;
  std::vector<Step> steps_;  // of this rank, the same for every job
  Mapping inbox_;            // kPieceWords
  // Of the current job; longer ranges go piece by piece.
  std::size_t at_ = 0, step_ = 0;
  bool posted_ = false;
  MPI_Request send_ = MPI_REQUEST_NULL, receive_ = MPI_REQUEST_NULL;
};

}  // namespace rondo
