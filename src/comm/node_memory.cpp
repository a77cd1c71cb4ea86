#include "node_memory.hpp"

#include "rondo/core/error.hpp"

namespace rondo {

NodeMemory::NodeMemory(MpiCommunicator& comm)
    : comm_(comm), node_(comm.node_group()), boards_(comm, *node_) {}

std::uint32_t* NodeMemory::allocate(std::size_t words) {
  const std::size_t part = whole_pages(words * sizeof(std::uint32_t));
  std::string problem;
  try {
    memory_.push_back(shared_memory(*node_, part));
  } catch (const Error& error) {
    problem = error.what();
  }
  for (const std::string& text : comm_.gather_texts(problem))
    if (!text.empty()) throw InputError(text);  // the same on every node, that of another too
  std::vector<std::uint32_t*> peers;
  for (int r = 0; r < node_->size(); ++r)
    peers.push_back(
        reinterpret_cast<std::uint32_t*>(memory_.back().data() + part * static_cast<std::size_t>(r)));
  peers_.push_back(peers);
  return peers[node_->rank()];
}

}  // namespace rondo
