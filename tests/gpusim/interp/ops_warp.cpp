// What a warp does together: each lane waits at the instruction; when the mask is complete, all are served.
#include "interp/pick.hpp"
#include "interp/thread.hpp"

namespace gpusim {
namespace {

void wait(Thread& t, const Insn& i) {
  t.state = State::at_warp_sync;
  t.waiting = &i;
  t.wait_mask = get<uint32_t>(t, i.d);
}
void active(Thread& t, const Insn& i) { set<uint32_t>(t, i.dst, 1u << t.lane()); }

struct Group {
  Block& block;
  uint32_t warp, lanes;
  Thread& operator[](uint32_t lane) { return block.threads[warp * 32 + lane]; }
  template <class Visit>
  void each(Visit visit) {
    for (uint32_t left = lanes; left; left &= left - 1) visit(static_cast<uint32_t>(std::countr_zero(left)));
  }
};

// CUDA's own formula (PTX ISA, shfl.sync): c holds the clamp and, from bit 8, the segment mask.
void shuffle(Group& g, const Insn& i) {
  bool up = i.source->has("up"), down = i.source->has("down"), butterfly = i.source->has("bfly");
  uint64_t before[32] = {};
  g.each([&](uint32_t lane) { before[lane] = g[lane].r[i.a]; });
  g.each([&](uint32_t lane) {
    Thread& t = g[lane];
    uint32_t b = get<uint32_t>(t, i.b) & 31, c = get<uint32_t>(t, i.c);
    uint32_t clamp = c & 31, segment = c >> 8 & 31;
    uint32_t most = (lane & segment) | (clamp & ~segment), least = lane & segment, from;
    bool inside;
    if (up) {
      from = lane - b;
      inside = static_cast<int32_t>(from) >= static_cast<int32_t>(most);
    } else if (down) {
      from = lane + b;
      inside = from <= most;
    } else if (butterfly) {
      from = lane ^ b;
      inside = from <= most;
    } else {
      from = least | (b & ~segment);
      inside = from <= most;
    }
    if (!inside) from = lane;
    if (!(g.lanes >> from & 1))
      finding(t, i, "shuffle from an absent lane",
              "lane " + std::to_string(from) + " of the warp does not take part");
    t.r[i.v[0]] = inside;
    t.r[i.dst] = before[from];
  });
}

void vote(Group& g, const Insn& i) {
  uint32_t ballot = 0;
  g.each([&](uint32_t lane) { ballot |= ((g[lane].r[i.a] & 1) != i.flag ? 1u : 0u) << lane; });
  bool all = ballot == g.lanes, any = ballot != 0;
  uint32_t r = i.source->has("ballot") ? ballot
               : i.source->has("all")  ? all
               : i.source->has("any")  ? any
                                       : all || !any;
  g.each([&](uint32_t lane) { set<uint32_t>(g[lane], i.dst, r); });
}

void match(Group& g, const Insn& i) {
  uint64_t mask = i.size == 8 ? ~uint64_t{0} : 0xffffffff;
  uint32_t same[32] = {};
  g.each([&](uint32_t lane) {
    g.each([&](uint32_t other) {
      same[lane] |= uint32_t{((g[lane].r[i.a] ^ g[other].r[i.a]) & mask) == 0} << other;
    });
  });
  bool all = i.source->has("all");
  g.each([&](uint32_t lane) {
    bool agreed = same[lane] == g.lanes;
    set<uint32_t>(g[lane], i.dst, all && !agreed ? 0 : same[lane]);
    g[lane].r[i.v[0]] = agreed;
  });
}

void reduce(Group& g, const Insn& i) {
  const ptx::Statement& s = *i.source;
  bool first = true, is_signed = last_type(s) == "s32";
  uint32_t r = 0;
  g.each([&](uint32_t lane) {
    uint32_t x = get<uint32_t>(g[lane], i.a);
    auto below = [&](uint32_t p, uint32_t q) {
      return is_signed ? static_cast<int32_t>(p) < static_cast<int32_t>(q) : p < q;
    };
    if (first)
      r = x;
    else if (s.has("add"))
      r += x;
    else if (s.has("min"))
      r = below(x, r) ? x : r;
    else if (s.has("max"))
      r = below(r, x) ? x : r;
    else if (s.has("and"))
      r &= x;
    else if (s.has("or"))
      r |= x;
    else
      r ^= x;
    first = false;
  });
  g.each([&](uint32_t lane) { set<uint32_t>(g[lane], i.dst, r); });
}

}  // namespace

void resolve_warp(Block& block, uint32_t warp, uint32_t lanes, const Insn& i) {
  Group g{block, warp, lanes};
  const std::string& op = i.source->opcode[0];
  if (op == "shfl")
    shuffle(g, i);
  else if (op == "vote")
    vote(g, i);
  else if (op == "match")
    match(g, i);
  else if (op == "redux")
    reduce(g, i);
}

Handler pick_warp(const ptx::Statement& s, Insn& i) {
  const std::string& op = s.opcode[0];
  if (op == "activemask") return active;
  if (op == "bar" && s.has("warp")) return wait;
  if (!s.has("sync")) return nullptr;
  i.size = static_cast<uint8_t>(ptx::type_size(last_type(s)));
  i.flag = s.operands.size() > 1 && s.operands[1].negated;
  return op == "shfl" || op == "vote" || op == "match" || op == "redux" ? wait : nullptr;
}

}  // namespace gpusim
