#include <cmath>
#include <limits>

#include "mpi_communicator.hpp"
#include "rondo/core/clock.hpp"

namespace rondo {
namespace {

// Cristian, "Probabilistic clock synchronization" (1989): the quickest of some round trips tells best.
struct RoundTrip {
  double took = std::numeric_limits<double>::infinity(), ahead = 0;
};

}  // namespace

double MpiCommunicator::clock_ahead_s() {
  check_usable();
  constexpr int kTrips = 16;
  const auto move = [&](bool send, double& time, int peer) {
    MPI_Request request = MPI_REQUEST_NULL;
    mpi_check(send ? MPI_Isend(&time, 1, MPI_DOUBLE, peer, 0, comm_, &request)
                   : MPI_Irecv(&time, 1, MPI_DOUBLE, peer, 0, comm_, &request),
              "MPI_Isend or MPI_Irecv");
    wait(request, "a rank to tell its time");
  };
  double ahead = 0;
  for (int peer = 1; peer < size_ && (rank_ == 0 || rank_ >= peer); ++peer) {
    if (rank_ != 0 && rank_ != peer) continue;
    RoundTrip best;
    for (int trip = 0; trip < kTrips; ++trip) {
      double time = now_s();
      if (rank_ == 0) {
        const double asked = time;
        move(true, time, peer);
        move(false, time, peer);
        const double answered = now_s();
        if (answered - asked < best.took) best = {answered - asked, time - (asked + answered) / 2};
      } else {
        move(false, time, 0);
        time = now_s();
        move(true, time, 0);
      }
    }
    // Ranks of one machine read the same clock: an offset within the error is none.
    double found = std::fabs(best.ahead) < best.took ? 0 : best.ahead;
    move(rank_ == 0, found, rank_ == 0 ? peer : 0);
    if (rank_ == peer) ahead = found;
  }
  return ahead;
}

}  // namespace rondo
