#include <algorithm>

#include "hierarchical.hpp"
#include "message_transport.hpp"
#include "mpi_sum.hpp"
#include "nccl.hpp"
#include "ring.hpp"
#include "rondo/core/error.hpp"
#include "shared_transport.hpp"
#include "tree.hpp"

namespace rondo {

WordRange slice_of(WordRange range, int rank, int size) {
  const std::size_t blocks = (range.size() + kSliceWords - 1) / kSliceWords;
  const auto cut = [&](int r) {
    const std::size_t block = blocks * static_cast<std::size_t>(r) / static_cast<std::size_t>(size);
    return range.begin + std::min(range.size(), block * kSliceWords);
  };
  return {cut(rank), cut(rank + 1)};
}

namespace {

std::unique_ptr<SumAlgorithm> make_algorithm(const std::string& name, const MpiCommunicator& comm,
                                             MPI_Comm mpi, NodeMemory* memory) {
  if (name == "ring") return std::make_unique<Ring>(mpi, everybody(comm));
  if (name == "tree") return std::make_unique<Tree>(mpi, everybody(comm));
  if (name == "hierarchical") return std::make_unique<Hierarchical>(comm, mpi, *memory);
  if (name == "mpi") return std::make_unique<MpiSum>(mpi);
  input_error(
      "exchange.algorithm = \"{}\" is not known; use \"auto\", \"shared\", \"ring\", \"hierarchical\", "
      "\"tree\" or \"mpi\"",
      name);
}

}  // namespace

std::unique_ptr<Transport> make_transport(const std::string& algorithm, Communicator& comm) {
  auto& mpi = dynamic_cast<MpiCommunicator&>(comm);
  if (algorithm == "shared" || (algorithm == "auto" && comm.single_node()))
    return std::make_unique<SharedTransport>(mpi);
  const std::string name = algorithm == "auto" ? "hierarchical" : algorithm;
  const MPI_Comm messages = mpi.duplicate();
  std::unique_ptr<NodeMemory> memory;
  if (name == "hierarchical") memory = std::make_unique<NodeMemory>(mpi);
  auto sums = make_algorithm(name, mpi, messages, memory.get());
  return std::make_unique<MessageTransport>(name, mpi, messages, std::move(memory), std::move(sums));
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
  std::vector<std::string> names = {"ring", "hierarchical", "tree", "mpi"};
  if (comm.single_node()) names.insert(names.begin(), "shared");
  return names;
}

std::vector<std::string> available_algorithms(const Communicator& comm, const Backend& backend) {
  if (backend.reads_host_memory()) return available_algorithms(comm);
  return {"nccl"};
}

}  // namespace rondo
