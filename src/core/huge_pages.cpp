#include "rondo/core/huge_pages.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>

namespace rondo {

namespace {

constexpr int kCollapse = 25;  // MADV_COLLAPSE, which older headers do not know; EINVAL from older kernels

std::size_t up(std::size_t bytes) { return (bytes + kHugePage - 1) / kHugePage * kHugePage; }
std::size_t down(std::size_t bytes) { return bytes / kHugePage * kHugePage; }

}  // namespace

std::size_t whole_huge_pages(std::size_t bytes) { return up(bytes) - bytes <= bytes / 8 ? up(bytes) : bytes; }

void prefer_huge_pages(std::span<std::byte> memory) {
  if (memory.size() >= kHugePage) madvise(memory.data(), down(memory.size()), MADV_HUGEPAGE);
}

void collapse_to_huge_pages(std::span<std::byte> memory, std::size_t begin, std::size_t end) {
  begin = up(begin);
  end = std::min(up(end), down(memory.size()));
  if (begin >= end) return;
  for (int tries = 0; tries < 4; ++tries)  // EAGAIN: somebody was looking at a page
    if (madvise(memory.data() + begin, end - begin, kCollapse) == 0 || errno != EAGAIN) return;
}

}  // namespace rondo
