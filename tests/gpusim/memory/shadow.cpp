#include "memory/shadow.hpp"

#include <bit>
#include <cstring>

namespace gpusim {

void Shadow::set_valid(size_t offset, size_t size, bool valid) {
  std::memset(valid_.get() + offset, valid, size);
}

void Shadow::copy_valid(size_t offset, const Shadow& from, size_t from_offset, size_t size) {
  std::memmove(valid_.get() + offset, from.valid_.get() + from_offset, size);
}

Shadow::Page& Shadow::page(size_t index, size_t offset, size_t size) {
  std::unique_ptr<Page>& slot = pages_[index];
  if (!slot) slot = std::make_unique<Page>();
  if (slot->shift == 2 && ((offset | size) & 3)) {
    std::vector<Cell> bytes(page_bytes);
    for (size_t i = 0; i < page_bytes; ++i) bytes[i] = slot->cells[i / 4];
    slot->cells = std::move(bytes);
    slot->shift = 0;
  }
  return *slot;
}

Conflict Shadow::touch(size_t offset, size_t size, Access how, uint16_t me, const BlockOrder& order) {
  Conflict conflict;
  Page& p = page(offset / page_bytes, offset, size);  // accesses are aligned, so they stay in one page
  size_t first = (offset % page_bytes) >> p.shift, last = ((offset + size - 1) % page_bytes) >> p.shift;
  for (size_t i = first; i <= last; ++i) {
    Cell& c = p.cells[i];
    check(c, how, me, order, conflict);
    record(c, how, me, order);
  }
  return conflict;
}

void Shadow::check(const Cell& c, Access how, uint16_t me, const BlockOrder& order,
                   Conflict& conflict) const {
  if (conflict.found) return;
  bool quiet = how.atomic && c.w_atomic;
  if (c.w_stamp >= base_ && !quiet && !order.before(c.w_stamp, c.w_block, c.w_tid, me)) {
    conflict = {true, true, c.w_atomic, c.w_block, c.w_tid};
    return;
  }
  if (!how.write || c.r_stamp < std::max(order.launch_base, base_) || (how.atomic && c.r_atomic)) return;
  if (c.r_block == Conflict::many_blocks) {
    conflict = {true, false, c.r_atomic, Conflict::many_blocks, -1};
  } else if (c.r_warp == many_warps) {
    if (!order.before(c.r_stamp, c.r_block, many_warps, me))
      conflict = {true, false, c.r_atomic, c.r_block, -1};
  } else {
    for (uint32_t lanes = c.r_lanes; lanes; lanes &= lanes - 1) {
      auto other = static_cast<uint16_t>(c.r_warp * 32 + std::countr_zero(lanes));
      if (!order.before(c.r_stamp, c.r_block, other, me)) {
        conflict = {true, false, c.r_atomic, c.r_block, other};
        return;
      }
    }
  }
}

void Shadow::record(Cell& c, Access how, uint16_t me, const BlockOrder& order) const {
  uint16_t warp = me / 32;
  uint32_t lane = 1u << (me % 32);
  if (how.write) {
    c.w_stamp = order.now;
    c.w_block = order.block;
    c.w_tid = me;
    c.w_atomic = how.atomic;
    c.r_stamp = 0;  // later accesses that are ordered after this write are ordered after those reads too
    c.r_lanes = 0;
    return;
  }
  // Readers that the newcomer is ordered after need not be remembered.
  bool stale = c.r_stamp < std::max(order.launch_base, base_) ||
               (c.r_block == order.block && c.r_stamp < order.barrier_stamp);
  if (stale) {
    c.r_block = order.block;
    c.r_warp = warp;
    c.r_lanes = lane;
    c.r_atomic = how.atomic;
  } else {
    if (c.r_block != order.block) c.r_block = Conflict::many_blocks;
    if (c.r_warp != warp) c.r_warp = many_warps;
    c.r_lanes |= lane;
    c.r_atomic = c.r_atomic && how.atomic;
  }
  c.r_stamp = order.now;
}

void Shadow::mark(size_t offset, size_t size, Access how, uint64_t id) {
  while (size > 0) {
    size_t index = offset / page_bytes, in_page = offset % page_bytes;
    size_t bytes = std::min(size, page_bytes - in_page);
    std::unique_ptr<Page>& slot = pages_[index];
    if (!slot) slot = std::make_unique<Page>();
    if (slot->marked_by != id) {
      slot->marked_by = id;
      slot->reads = {};
      slot->writes = {};
      marked_.push_back(index);
    }
    for (size_t at = in_page; at < in_page + bytes;) {
      size_t bit = at % 64, count = std::min<size_t>(64 - bit, in_page + bytes - at);
      uint64_t mask = (count == 64 ? ~0ull : (1ull << count) - 1) << bit;
      if (how.read) slot->reads[at / 64] |= mask;
      if (how.write) slot->writes[at / 64] |= mask;
      at += count;
    }
    offset += bytes;
    size -= bytes;
  }
}

}  // namespace gpusim
