// The shadow of a piece of memory: which bytes hold a value, who touched them last, and what the running
// operation has read and written.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "memory/order.hpp"

namespace gpusim {

struct Access {
  bool read = false, write = false, atomic = false;
};

struct Conflict {
  bool found = false, other_wrote = false, other_atomic = false;
  uint32_t block = 0;
  int tid = -1;  // -1: several threads
  static constexpr uint32_t many_blocks = 0xffffffff;
};

struct Range {
  size_t begin, end;
};

class Shadow {
 public:
  explicit Shadow(size_t size)
      : valid_(static_cast<uint8_t*>(std::calloc(size + 1, 1))),
        pages_((size + page_bytes - 1) / page_bytes) {}

  // The first byte of [offset, offset + size) that nobody has written, or -1.
  int64_t first_invalid(size_t offset, size_t size) const {
    for (size_t i = offset; i < offset + size; ++i)
      if (!valid_[i]) return static_cast<int64_t>(i);
    return -1;
  }
  void set_valid(size_t offset, size_t size, bool valid);
  void copy_valid(size_t offset, const Shadow& from, size_t from_offset, size_t size);

  // Accesses older than this stamp are of no interest: shared memory begins anew with each block.
  void forget_before(uint32_t stamp) { base_ = stamp; }

  // Records an access by thread `me` and says which earlier one is not ordered before it.
  Conflict touch(size_t offset, size_t size, Access how, uint16_t me, const BlockOrder& order);

  // Marks what the operation `id` touches, for the order between operations.
  void mark(size_t offset, size_t size, Access how, uint64_t id);
  // Calls done(Range, wrote) for what was marked since the last call.
  template <class Done>
  void collect(Done done);

 private:
  static constexpr size_t page_bytes = 1024;
  struct Cell {
    uint32_t w_stamp = 0, w_block = 0;
    uint32_t r_stamp = 0, r_block = 0, r_lanes = 0;
    uint16_t w_tid = 0, r_warp = 0;
    bool w_atomic = false, r_atomic = false;
  };
  static constexpr uint16_t many_warps = 0xffff;
  using Bits = std::array<uint64_t, page_bytes / 64>;
  struct Page {
    int shift = 2;  // a cell for each word, until somebody touches less than one
    std::vector<Cell> cells{page_bytes / 4};
    uint64_t marked_by = 0;
    Bits reads{}, writes{};
  };

  Page& page(size_t index, size_t offset, size_t size);
  void check(const Cell& c, Access how, uint16_t me, const BlockOrder& order, Conflict& conflict) const;
  void record(Cell& c, Access how, uint16_t me, const BlockOrder& order) const;
  template <class Done>
  void runs(const std::vector<size_t>& sorted, bool writes, Done done);

  struct Free {
    void operator()(uint8_t* p) const { std::free(p); }
  };
  std::unique_ptr<uint8_t[], Free> valid_;  // calloc: pages that nobody touches cost nothing
  std::vector<std::unique_ptr<Page>> pages_;
  uint32_t base_ = 1;
  std::vector<size_t> marked_;  // pages with marks
};

template <class Done>
void Shadow::collect(Done done) {
  std::vector<size_t> sorted = std::move(marked_);
  marked_.clear();
  std::sort(sorted.begin(), sorted.end());
  runs(sorted, false, done);
  runs(sorted, true, done);
  for (size_t p : sorted) pages_[p]->marked_by = 0;
}

template <class Done>
void Shadow::runs(const std::vector<size_t>& sorted, bool writes, Done done) {
  size_t begin = 0, end = 0;  // the open run
  for (size_t p : sorted) {
    const Bits& bits = writes ? pages_[p]->writes : pages_[p]->reads;
    for (size_t w = 0; w < bits.size(); ++w) {
      if (bits[w] == 0) continue;
      for (size_t b = 0; b < 64; ++b) {
        if (!(bits[w] >> b & 1)) continue;
        size_t at = p * page_bytes + w * 64 + b;
        if (at != end) {
          if (end > begin) done(Range{begin, end}, writes);
          begin = at;
        }
        end = at + 1;
      }
    }
  }
  if (end > begin) done(Range{begin, end}, writes);
}

}  // namespace gpusim
