#include <algorithm>
#include <map>

#include "hierarchical.hpp"
#include "measured.hpp"
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
  if (name == "ring") return std::make_unique<Ring>(mpi, everybody(comm), comm.size());
  if (name == "tree") return std::make_unique<Tree>(mpi, everybody(comm));
  if (name == "hierarchical") return std::make_unique<Hierarchical>(comm, mpi, *memory);
  if (name == "mpi") return std::make_unique<MpiSum>(mpi);
  input_error(
      "exchange.algorithm = \"{}\" is not known; use \"auto\", \"shared\", \"ring\", \"hierarchical\", "
      "\"tree\" or \"mpi\"",
      name);
}

/// "tree up to 8 KiB, hierarchical": neighbouring sizes of one algorithm are one.
std::string name_of(const std::vector<Choice>& choices) {
  std::string name;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    const bool last = i + 1 == choices.size();
    if (last)
      name += choices[i].algorithm;
    else if (choices[i].algorithm != choices[i + 1].algorithm)
      name += fmt::format("{} up to {} KiB, ", choices[i].algorithm, choices[i].most() >> 10);
  }
  return name;
}

}  // namespace

std::unique_ptr<Transport> make_transport(const std::string& algorithm, Communicator& comm) {
  auto& mpi = dynamic_cast<MpiCommunicator&>(comm);
  if (algorithm == "shared" || (algorithm == "auto" && comm.single_node()))
    return std::make_unique<SharedTransport>(mpi);
  std::vector<Choice> choices = {{0, algorithm}};
  if (algorithm == "auto") choices = measured_choices(comm);
  const MPI_Comm messages = mpi.duplicate();
  std::unique_ptr<NodeMemory> memory;
  if (std::ranges::find(choices, "hierarchical", &Choice::algorithm) != choices.end())
    memory = std::make_unique<NodeMemory>(mpi);
  std::map<std::string, std::shared_ptr<SumAlgorithm>> made;
  std::vector<std::shared_ptr<SumAlgorithm>> by;
  for (const Choice& choice : choices) {
    std::shared_ptr<SumAlgorithm>& one = made[choice.algorithm];
    if (one == nullptr) one = make_algorithm(choice.algorithm, mpi, messages, memory.get());
    by.push_back(one);
  }
  const std::string name = name_of(choices);
  return std::make_unique<MessageTransport>(name, mpi, messages, std::move(memory),
                                            std::make_unique<BySize>(std::move(choices), std::move(by)));
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
