#include <algorithm>

#include "mpi_transport.hpp"
#include "nccl.hpp"
#include "ring_transport.hpp"
#include "rondo/core/error.hpp"
#include "shared_transport.hpp"

namespace rondo {

WordRange slice_of(WordRange range, int rank, int size) {
  const std::size_t blocks = (range.size() + kSliceWords - 1) / kSliceWords;
  const auto cut = [&](int r) {
    const std::size_t block = blocks * static_cast<std::size_t>(r) / static_cast<std::size_t>(size);
    return range.begin + std::min(range.size(), block * kSliceWords);
  };
  return {cut(rank), cut(rank + 1)};
}

std::unique_ptr<Transport> make_transport(const std::string& algorithm, Communicator& comm) {
  auto& mpi = dynamic_cast<MpiCommunicator&>(comm);
  if (algorithm == "shared" || (algorithm == "auto" && comm.single_node()))
    return std::make_unique<SharedTransport>(mpi);
  if (algorithm == "ring" || algorithm == "auto") return std::make_unique<RingTransport>(mpi);
  if (algorithm == "mpi") return std::make_unique<MpiTransport>(mpi);
  input_error("exchange.algorithm = \"{}\" is not known; use \"auto\", \"shared\", \"ring\" or \"mpi\"",
              algorithm);
}

std::unique_ptr<Transport> make_transport(const std::string& algorithm, Communicator& comm,
                                          Backend& backend) {
  const bool nccl = algorithm == "nccl";
  if (backend.reads_host_memory()) {
    if (nccl)
      input_error("exchange.algorithm = \"nccl\" sums between GPUs, but device.kind is \"{}\"; use \"auto\"",
                  backend.name());
    return make_transport(algorithm, comm);
  }
  if (!nccl && algorithm != "auto")
    input_error("exchange.algorithm = \"{}\" sums in host memory, but device.kind is \"{}\"; use \"auto\"",
                algorithm, backend.name());
  if (const std::string reason = why_no_nccl(); !reason.empty())
    input_error("device.kind = \"{}\": {}; use \"cpu\"", backend.name(), reason);
  return make_nccl_transport(dynamic_cast<MpiCommunicator&>(comm), backend);
}

std::vector<std::string> available_algorithms(const Communicator& comm) {
  if (comm.single_node()) return {"shared", "ring", "mpi"};
  return {"ring", "mpi"};
}

std::vector<std::string> available_algorithms(const Communicator& comm, const Backend& backend) {
  if (backend.reads_host_memory()) return available_algorithms(comm);
  return {"nccl"};
}

}  // namespace rondo
