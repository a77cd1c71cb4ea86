/// Huge pages (2 MiB) for memory that every step goes through: a core then finds it with fewer looks into
/// page tables, which are expensive in virtual machines above all. What the kernel does not give stays in
/// small pages: nothing here fails.
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

/// Puts them in place of small pages, those that begin in [begin, end) of `memory`, which is aligned to
/// kHugePage, also in /dev/shm. No byte changes. Takes one to five milliseconds for each. From Linux 6.1 on.
void collapse_to_huge_pages(std::span<std::byte> memory, std::size_t begin, std::size_t end);

}  // namespace rondo
