#include "mpi_settings.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>

#include "sum_algorithm.hpp"

namespace rondo {
namespace {

bool is_set(const char* name) { return std::getenv(name) != nullptr; }

/// True when no launcher (mpirun, srun with PMIx or PMI) has started this process.
bool runs_alone() {
  const char* const marks[] = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"};
  return std::none_of(std::begin(marks), std::end(marks), is_set);
}

}  // namespace

void prepare_mpi() {
  if (runs_alone()) setenv("OMPI_MCA_pml", "ob1", 0);  // looking for networks would take 0.2 s
  // Over TCP a message above the eager limit waits for the receiver's consent, and while it is on its way
  // little goes the other way: a ring gets half of a link. So a piece goes at once, and in one.
  const char* const limits[] = {"OMPI_MCA_btl_tcp_eager_limit", "OMPI_MCA_btl_tcp_rndv_eager_limit",
                                "OMPI_MCA_btl_tcp_max_send_size"};
  if (std::any_of(std::begin(limits), std::end(limits), is_set)) return;
  const std::string bytes = fmt::format("{}", 2 * kPieceWords * sizeof(std::uint32_t));
  for (const char* limit : limits) setenv(limit, bytes.c_str(), 0);
}

}  // namespace rondo
