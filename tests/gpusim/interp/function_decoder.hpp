// Decodes one function: lay_out() gives every name its slot or offset, decode() turns statements into Insns.
#pragma once

#include <map>
#include <string>

#include "interp/decode.hpp"
#include "interp/insn.hpp"

namespace gpusim {

inline size_t align_up(size_t at, size_t align) { return (at + align - 1) / align * align; }

class FunctionDecoder {
 public:
  static constexpr uint64_t dynamic = ~uint64_t{0};  // in place of an offset: extern shared memory

  FunctionDecoder(Program& program, const ptx::Function& f, Code& code,
                  const std::map<std::string, uint64_t>& globals,
                  const std::map<std::string, uint64_t>& module_shared)
      : program_(program), f_(f), code_(code), globals_(globals), shared_(module_shared) {}

  // Slots and offsets first: a call needs the callee's layout.
  void lay_out(size_t shared_begin);
  void decode();

 private:
  // Names and numbers to slots: layout.cpp.
  // An upper bound: immediates and symbols that differ as they are written.
  size_t most_constants() const;
  uint32_t constant(uint64_t bits);
  uint32_t operand(const ptx::Operand& o, const std::string& type);
  // An address is a slot and a constant offset.
  void address(const ptx::Operand& o, Insn& i);
  void vector(const ptx::Operand& o, const std::string& type, Insn& i);
  uint32_t label(const std::string& name) const;
  // Statements: statements.cpp.
  void statement(const ptx::Statement& s, Insn& i);
  void operands(const ptx::Statement& s, Insn& i);
  // dst[|second], a, b, c, d; the mask of the warp's operations is the last one and goes to d.
  void plain(const ptx::Statement& s, Insn& i, const std::string& type);
  // bar.sync id [, threads]; bar.red.op dst, id [, threads], predicate.
  void barrier(const ptx::Statement& s, Insn& i);
  void call(const ptx::Statement& s, Insn& i);

  Program& program_;
  const ptx::Function& f_;
  Code& code_;
  const std::map<std::string, uint64_t>& globals_;
  std::map<std::string, uint64_t> shared_;
  std::map<std::string, uint32_t> slots_;
  std::map<std::string, Code::Parameter> parameters_;
  std::map<std::string, size_t> local_;
  std::map<uint64_t, uint32_t> constants_;
  uint32_t next_ = 0;
};

}  // namespace gpusim
