/// Huge pages (2 MiB) for memory that every step goes through. A core then finds it with fewer looks into
/// page tables, which are expensive in virtual machines above all, and its prefetchers are not stopped every
/// 4 KiB. What the kernel does not give stays in small pages: nothing here fails.
#pragma once

#include <cstddef>
#include <span>

namespace rondo {

/// Where pages have 4 KiB, on x86-64 and on most ARM.
inline constexpr std::size_t kHugePage = std::size_t{2} << 20;

/// `bytes`, or the least multiple of kHugePage that holds them if that is at most an eighth more.
std::size_t whole_huge_pages(std::size_t bytes);

/// Asks for them before `memory` is touched; only what is aligned to kHugePage can have them. For private
/// memory: /dev/shm does not listen unless it was mounted so.
void prefer_huge_pages(std::span<std::byte> memory);

/// Puts them in place of small pages that are there and that no other thread or process uses at the same
/// time, those that begin in [begin, end) of `memory`, which is aligned to kHugePage, also in /dev/shm. Takes
/// about a millisecond for each. From Linux 6.1 on.
void collapse_to_huge_pages(std::span<std::byte> memory, std::size_t begin, std::size_t end);

}  // namespace rondo
