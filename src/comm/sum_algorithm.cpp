#include "sum_algorithm.hpp"

#include <algorithm>
#include <numeric>

#include "rondo/device/simd.hpp"

namespace rondo {
namespace {

constexpr int kTag = 1;

}  // namespace

Circle everybody(const MpiCommunicator& comm) {
  Circle circle{std::vector<int>(comm.size()), 0};
  std::iota(circle.ranks.begin(), circle.ranks.end(), 0);
  std::ranges::stable_sort(circle.ranks, {}, [&](int rank) { return comm.nodes()[rank]; });
  circle.place = static_cast<int>(std::ranges::find(circle.ranks, comm.rank()) - circle.ranks.begin());
  return circle;
}

void add_words(std::uint32_t* to, const std::uint32_t* from, std::size_t words, SumType type) {
  if (type == SumType::int32)
    simd().add_i32(to, from, words);
  else
    simd().add_f32(reinterpret_cast<float*>(to), reinterpret_cast<const float*>(from), words);
}

bool completed(MPI_Request& request) {
  int done = 0;
  mpi_check(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "MPI_Test");
  return done != 0;
}

void send_words(MPI_Comm mpi, std::span<const std::uint32_t> words, int to, MPI_Request& request) {
  mpi_check(MPI_Isend(words.data(), static_cast<int>(words.size()), MPI_UINT32_T, to, kTag, mpi, &request),
            "MPI_Isend");
}

void receive_words(MPI_Comm mpi, std::span<std::uint32_t> words, int from, MPI_Request& request) {
  mpi_check(MPI_Irecv(words.data(), static_cast<int>(words.size()), MPI_UINT32_T, from, kTag, mpi, &request),
            "MPI_Irecv");
}

}  // namespace rondo
