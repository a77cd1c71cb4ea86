// Logic, shifts, bit fields and permutations.
#include <bit>

#include "interp/pick.hpp"
#include "interp/thread.hpp"

namespace gpusim {
namespace {

using u32 = uint32_t;
using u64 = uint64_t;

// Bitwise logic is the same at every width, predicates included: whoever reads takes the low bits.
void op_and(Thread& t, const Insn& i) { t.r[i.dst] = t.r[i.a] & t.r[i.b]; }
void op_or(Thread& t, const Insn& i) { t.r[i.dst] = t.r[i.a] | t.r[i.b]; }
void op_xor(Thread& t, const Insn& i) { t.r[i.dst] = t.r[i.a] ^ t.r[i.b]; }
void op_not(Thread& t, const Insn& i) { t.r[i.dst] = ~t.r[i.a]; }
void op_cnot(Thread& t, const Insn& i) { t.r[i.dst] = i.size == 8 ? t.r[i.a] == 0 : get<u32>(t, i.a) == 0; }
void op_lop3(Thread& t, const Insn& i) {
  u64 a = t.r[i.a], b = t.r[i.b], c = t.r[i.c], table = t.r[i.d], r = 0;
  for (int row = 0; row < 8; ++row)
    if (table >> row & 1) r |= (row & 4 ? a : ~a) & (row & 2 ? b : ~b) & (row & 1 ? c : ~c);
  t.r[i.dst] = r;
}

template <class T>
void shift_left(Thread& t, const Insn& i) {
  u32 by = get<u32>(t, i.b);
  set<T>(t, i.dst, by < 8 * sizeof(T) ? static_cast<T>(get<T>(t, i.a) << by) : T{0});
}
template <class T>
void shift_right(Thread& t, const Insn& i) {
  u32 by = get<u32>(t, i.b), top = 8 * sizeof(T) - 1;
  T a = get<T>(t, i.a);
  if (by > top)
    set<T>(t, i.dst, std::is_signed_v<T> ? static_cast<T>(a >> top) : T{0});
  else
    set<T>(t, i.dst, static_cast<T>(a >> by));
}
void funnel(Thread& t, const Insn& i) {  // i.flag: left; i.saturate: clamp
  u32 by = get<u32>(t, i.c);
  by = i.saturate ? std::min(by, 32u) : by & 31;
  u64 pair = u64{get<u32>(t, i.b)} << 32 | get<u32>(t, i.a);
  set<u32>(t, i.dst, i.flag ? static_cast<u32>(pair << by >> 32) : static_cast<u32>(pair >> by));
}

template <class T>
void extract(Thread& t, const Insn& i) {
  u32 at = get<u32>(t, i.b) & 255, length = get<u32>(t, i.c) & 255, bits = 8 * sizeof(T);
  auto a = static_cast<std::make_unsigned_t<T>>(get<T>(t, i.a));
  u32 sign_at = std::min(at + length - 1, bits - 1);
  bool sign = std::is_signed_v<T> && length > 0 && (a >> sign_at & 1);
  u64 field = at < bits ? u64{a} >> at : 0;
  if (length < 64) field &= (u64{1} << length) - 1;
  u32 have = at < bits ? std::min(length, bits - at) : 0;
  if (sign && have < 64) field |= ~u64{0} << have;
  set<T>(t, i.dst, static_cast<T>(field));
}
template <class T>
void insert(Thread& t, const Insn& i) {
  u32 at = get<u32>(t, i.c) & 255, length = get<u32>(t, i.d) & 255, bits = 8 * sizeof(T);
  T from = get<T>(t, i.a), into = get<T>(t, i.b);
  if (at >= bits || length == 0) return set<T>(t, i.dst, into);
  T mask = static_cast<T>((length >= 64 ? ~u64{0} : (u64{1} << length) - 1) << at);
  set<T>(t, i.dst, static_cast<T>((into & ~mask) | (from << at & mask)));
}

void permute(Thread& t, const Insn& i) {
  u64 pair = u64{get<u32>(t, i.b)} << 32 | get<u32>(t, i.a);
  u32 selector = get<u32>(t, i.c), r = 0;
  for (int k = 0; k < 4; ++k) {
    u32 nibble = selector >> (4 * k) & 15;
    u32 byte = pair >> (8 * (nibble & 7)) & 255;
    if (nibble & 8) byte = byte & 128 ? 255 : 0;
    r |= byte << (8 * k);
  }
  set<u32>(t, i.dst, r);
}

template <class T>
void pop_count(Thread& t, const Insn& i) {
  set<u32>(t, i.dst, static_cast<u32>(std::popcount(get<T>(t, i.a))));
}
template <class T>
void leading_zeros(Thread& t, const Insn& i) {
  set<u32>(t, i.dst, static_cast<u32>(std::countl_zero(get<T>(t, i.a))));
}
template <class T>
void reverse(Thread& t, const Insn& i) {
  T a = get<T>(t, i.a), r = 0;
  for (size_t k = 0; k < 8 * sizeof(T); ++k) r |= (a >> k & 1) << (8 * sizeof(T) - 1 - k);
  set<T>(t, i.dst, r);
}
template <class T>
void find_leading(Thread& t, const Insn& i) {  // bfind; i.flag: the shift amount instead of the position
  using U = std::make_unsigned_t<T>;
  T value = get<T>(t, i.a);
  U a = static_cast<U>(std::is_signed_v<T> && value < 0 ? static_cast<T>(~value) : value);
  int bits = 8 * sizeof(T), at = bits - 1 - std::countl_zero(a);
  set<u32>(t, i.dst, a == 0 ? ~u32{0} : static_cast<u32>(i.flag ? bits - 1 - at : at));
}

}  // namespace

Handler pick_bits(const ptx::Statement& s, Insn& i) {
  const std::string& op = s.opcode[0];
  std::string type = last_type(s);
  size_t size = ptx::type_size(type);
  bool is_signed = type[0] == 's', wide = size == 8;
  i.size = static_cast<uint8_t>(size);
  if (op == "and") return op_and;
  if (op == "or") return op_or;
  if (op == "xor") return op_xor;
  if (op == "not") return op_not;
  if (op == "cnot" && size >= 4) return op_cnot;
  if (op == "lop3") return s.operands.size() == 5 ? op_lop3 : nullptr;
  if (op == "shl") return wide ? shift_left<u64> : size == 4 ? shift_left<u32> : shift_left<uint16_t>;
  if (op == "shr" && is_signed)
    return wide ? shift_right<int64_t> : size == 4 ? shift_right<int32_t> : shift_right<int16_t>;
  if (op == "shr") return wide ? shift_right<u64> : size == 4 ? shift_right<u32> : shift_right<uint16_t>;
  if (op == "shf") {
    i.flag = s.has("l");
    i.saturate = s.has("clamp");
    return funnel;
  }
  if (op == "bfe" && is_signed) return wide ? extract<int64_t> : extract<int32_t>;
  if (op == "bfe") return wide ? extract<u64> : extract<u32>;
  if (op == "bfi") return wide ? insert<u64> : insert<u32>;
  if (op == "prmt") return s.opcode.size() == 2 ? permute : nullptr;
  if (op == "popc") return wide ? pop_count<u64> : pop_count<u32>;
  if (op == "clz") return wide ? leading_zeros<u64> : leading_zeros<u32>;
  if (op == "brev") return wide ? reverse<u64> : reverse<u32>;
  if (op == "bfind") {
    i.flag = s.has("shiftamt");
    if (is_signed) return wide ? find_leading<int64_t> : find_leading<int32_t>;
    return wide ? find_leading<u64> : find_leading<u32>;
  }
  return nullptr;
}

}  // namespace gpusim
