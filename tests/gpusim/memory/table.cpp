#include "memory/table.hpp"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <stdexcept>

namespace gpusim {
namespace {

constexpr size_t window_bytes = 1ull << 42, alignment = 256, red_zone = 1024;

uint64_t window() {
  static const uint64_t begin = [] {
    void* p = mmap(nullptr, window_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) throw std::runtime_error("gpusim: no address space for device memory");
    return reinterpret_cast<uint64_t>(p);
  }();
  return begin;
}

}  // namespace

bool MemoryTable::is_device_address(uint64_t address) {
  return address >= window() && address - window() < window_bytes;
}

Allocation* MemoryTable::add_device(size_t size, int device, MemoryKind kind, std::string name) {
  if (next_ == 0) next_ = window() + red_zone;
  uint64_t base = (next_ + alignment - 1) / alignment * alignment;
  next_ = base + size + red_zone;
  std::unique_ptr<uint8_t[], void (*)(void*)> storage(static_cast<uint8_t*>(std::calloc(size + 1, 1)),
                                                      std::free);
  // What cudaMalloc leaves is not zero: NaN as a float, nonsense as an index. Only large workspaces, of which
  // little is ever used, are left alone.
  if (size < size_t{8} << 20) std::memset(storage.get(), 0xff, size);
  uint8_t* data = storage.get();
  auto entry = std::make_unique<Allocation>(Allocation{base, size, kind, device, std::move(name), data,
                                                       std::move(storage), Shadow(size), History(), false});
  return (by_base_[base] = std::move(entry)).get();
}

Allocation* MemoryTable::add_pinned(void* user, uint8_t* alias, size_t size) {
  auto base = reinterpret_cast<uint64_t>(user);
  auto entry = std::make_unique<Allocation>(Allocation{base,
                                                       size,
                                                       MemoryKind::pinned,
                                                       -1,
                                                       "pinned host memory",
                                                       alias,
                                                       {nullptr, std::free},
                                                       Shadow(size),
                                                       History(),
                                                       false});
  entry->shadow.set_valid(0, size, true);  // the host's own writes are not seen
  return (by_base_[base] = std::move(entry)).get();
}

void MemoryTable::remove(Allocation* allocation) {
  if (allocation->kind == MemoryKind::pinned) {
    by_base_.erase(allocation->base);
    return;
  }
  allocation->freed = true;
  allocation->data = nullptr;
  allocation->storage.reset();
  allocation->shadow = Shadow(0);
  allocation->history = History();
}

Allocation* MemoryTable::find(uint64_t address) {
  auto it = by_base_.upper_bound(address);
  if (it == by_base_.begin()) return nullptr;
  Allocation* a = std::prev(it)->second.get();
  return address - a->base < std::max<size_t>(a->size, 1) ? a : nullptr;
}

std::string MemoryTable::neighbour(uint64_t address) const {
  auto it = by_base_.upper_bound(address);
  auto describe = [](const Allocation& a) {
    return a.name + " of " + std::to_string(a.size) + " bytes" + (a.freed ? " (freed)" : "");
  };
  if (it != by_base_.begin()) {
    const Allocation& a = *std::prev(it)->second;
    uint64_t past = address - a.base - a.size;
    if (past < 1 << 20) return std::to_string(past) + " bytes after the end of " + describe(a);
  }
  if (it != by_base_.end() && it->second->base - address < 1 << 20)
    return std::to_string(it->second->base - address) + " bytes before " + describe(*it->second);
  return "nowhere near an allocation";
}

MemoryTable& memory() {
  static MemoryTable* table = new MemoryTable;  // never destroyed: programs free in their own destructors
  return *table;
}

}  // namespace gpusim
