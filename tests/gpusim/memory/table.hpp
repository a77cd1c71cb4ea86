// Every allocation that kernels and copies may touch. Device addresses are numbers inside a reserved piece of
// address space that nobody may read: a host that follows one dies at once, as it would with a real card.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "memory/history.hpp"
#include "memory/shadow.hpp"

namespace gpusim {

enum class MemoryKind { device, variable, pinned };

struct Allocation {
  uint64_t base;
  size_t size;
  MemoryKind kind;
  int device;
  std::string name;
  uint8_t* data;  // where the simulator finds the bytes
  std::unique_ptr<uint8_t[], void (*)(void*)> storage;
  Shadow shadow;
  History history;
  bool freed = false;
  uint64_t touched_by = 0;  // the last launch
};

class MemoryTable {
 public:
  // New addresses every time, so that use after free is always seen; between allocations lies a red zone.
  Allocation* add_device(size_t size, int device, MemoryKind kind, std::string name);
  Allocation* add_pinned(void* user, uint8_t* alias, size_t size);
  void remove(Allocation* allocation);

  // The allocation that holds the address, be it live or freed; or null.
  Allocation* find(uint64_t address);
  // "17 bytes after the end of ..." for an address that hit nothing.
  std::string neighbour(uint64_t address) const;
  static bool is_device_address(uint64_t address);

 private:
  std::map<uint64_t, std::unique_ptr<Allocation>> by_base_;
  uint64_t next_ = 0;
};

MemoryTable& memory();

}  // namespace gpusim
