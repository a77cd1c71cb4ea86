// From an opcode to its handler: each family looks at the statement and returns its handler, or null.
#pragma once

#include "interp/insn.hpp"

namespace gpusim {

// The last type of an opcode ("cvt.rn.f32.s32" -> s32); `first_type` is the one before it, or the same.
std::string last_type(const ptx::Statement& s);
std::string first_type(const ptx::Statement& s);

Handler pick_integer(const ptx::Statement& s, Insn& i);
Handler pick_bits(const ptx::Statement& s, Insn& i);
Handler pick_float(const ptx::Statement& s, Insn& i);
Handler pick_compare(const ptx::Statement& s, Insn& i);
Handler pick_convert(const ptx::Statement& s, Insn& i);
Handler pick_memory(const ptx::Statement& s, Insn& i);
Handler pick_atomic(const ptx::Statement& s, Insn& i);
Handler pick_warp(const ptx::Statement& s, Insn& i);
Handler pick_control(const ptx::Statement& s, Insn& i);

// What a simulation has no use for: hints to a cache, sleeping.
void nothing(Thread& t, const Insn& i);
// Runs in place of what the interpreter does not know.
void unknown_opcode(Thread& t, const Insn& i);

// template <class T> struct Op { static T of(T, T); }; picks by the name of the type.
template <template <class> class Op, template <template <class> class, class> class Wrap>
Handler by_integer(const std::string& type) {
  if (type == "u16" || type == "b16") return Wrap<Op, uint16_t>::run;
  if (type == "s16") return Wrap<Op, int16_t>::run;
  if (type == "u32" || type == "b32") return Wrap<Op, uint32_t>::run;
  if (type == "s32") return Wrap<Op, int32_t>::run;
  if (type == "u64" || type == "b64") return Wrap<Op, uint64_t>::run;
  if (type == "s64") return Wrap<Op, int64_t>::run;
  return nullptr;
}

}  // namespace gpusim
