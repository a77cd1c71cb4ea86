/// Memory mapped from the kernel: zeroed, page-aligned, private to a rank or shared by all on a node.
#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include "rondo/comm/communicator.hpp"

namespace rondo {

class Mapping {
 public:
  Mapping() = default;
  explicit Mapping(std::span<std::byte> memory) : memory_(memory) {}
  ~Mapping();
  Mapping(Mapping&& other) noexcept : memory_(std::exchange(other.memory_, {})) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(memory_, other.memory_);
    return *this;
  }
  std::byte* data() const { return memory_.data(); }
  std::size_t size() const { return memory_.size(); }

 private:
  std::span<std::byte> memory_;
};

/// Memory of this process alone.
Mapping private_memory(std::size_t bytes);

/// `comm.size()` parts of `part_bytes` (a multiple of the page) one after another, the same memory on every
/// rank; every part lies on the NUMA node of its rank. Collective. Every page is there before this
/// returns, so that a full /dev/shm is an InputError on all ranks here and not a SIGBUS later.
Mapping shared_memory(Communicator& comm, std::size_t part_bytes);

/// The least multiple of the page that holds `bytes`, at least one page.
std::size_t whole_pages(std::size_t bytes);

}  // namespace rondo
