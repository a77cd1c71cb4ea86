// The compact form that the interpreter runs: every operand is an index into the thread's frame, constants
// and special registers included, so that a handler is a load, an operation and a store.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ptx/module.hpp"

namespace gpusim {

struct Thread;
struct Insn;
struct Code;
using Handler = void (*)(Thread&, const Insn&);

enum class Space : uint8_t { generic, global, shared, local, constant, param };
enum class Rounding : uint8_t { nearest, zero, down, up };

// The first slots of every frame.
namespace slot {
enum : uint32_t {
  one,
  zero,  // `one` guards what has no guard
  tid_x,
  tid_y,
  tid_z,
  ntid_x,
  ntid_y,
  ntid_z,
  ctaid_x,
  ctaid_y,
  ctaid_z,
  nctaid_x,
  nctaid_y,
  nctaid_z,
  laneid,
  warpid,
  nwarpid,
  lanemask_eq,
  lanemask_lt,
  lanemask_le,
  lanemask_gt,
  lanemask_ge,
  dynamic_shared,  // where extern shared memory begins
  dynamic_bytes,
  total_bytes,
  clock,
  sink,
  local_base,  // where this frame's local memory begins
  count
};
}

struct CallSite {
  struct Copy {
    uint32_t from, to, size;
  };
  std::string callee_name;
  const Code* callee = nullptr;
  std::vector<Copy> arguments, results;  // caller's frame -> callee's, and back
};

struct Insn {
  Handler run = nullptr;
  uint32_t guard = slot::one;
  bool wanted = true;        // the value of the guard under which it runs
  mutable bool hit = false;  // line coverage
  Space space = Space::generic;
  Rounding rounding = Rounding::nearest;
  bool ftz = false, saturate = false, relaxed = false, flag = false;
  uint8_t size = 0, count = 1;  // of a memory access: bytes an element, elements
  uint32_t dst = slot::sink, a = slot::zero, b = slot::zero, c = slot::zero, d = slot::zero;
  uint32_t v[4] = {slot::sink, slot::sink, slot::sink, slot::sink};
  uint32_t target = 0;
  int64_t imm = 0;
  const ptx::Statement* source = nullptr;
  mutable void* cache = nullptr;  // the allocation that it touched last
  std::vector<uint32_t> table;    // brx.idx
  std::unique_ptr<CallSite> call;
};

// A decoded function.
struct Code {
  std::string name, shown;  // as in PTX, and demangled
  bool is_entry = false;
  int max_threads = 0;
  std::vector<Insn> insns;
  std::vector<uint64_t> frame;  // constants in place; parameters behind the registers, as bytes
  size_t local_size = 0;
  struct Parameter {
    uint32_t offset, size;  // in bytes from the start of the frame
  };
  std::vector<Parameter> parameters, results;
  size_t static_shared = 0;                                 // what the program asked for
  size_t shared_layout = 0;                                 // the same with red zones between the variables
  std::vector<std::pair<size_t, size_t>> shared_variables;  // [begin, end), for the red zones
  const ptx::Module* module = nullptr;
};

}  // namespace gpusim
