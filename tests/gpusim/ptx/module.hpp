// What the parser makes of a PTX text: variables and functions whose statements still have names.
#pragma once

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace gpusim::ptx {

struct Error : std::runtime_error {
  Error(int line, const std::string& what)
      : std::runtime_error(std::string("PTX line ").append(std::to_string(line)).append(": ").append(what)) {}
};

struct Operand {
  enum Kind { name, immediate, address, list } kind = name;
  std::string text;            // register, symbol or label; empty for an absolute address
  uint64_t bits = 0;           // immediate: two's complement, or an IEEE pattern
  int float_width = 0;         // immediate: 32 or 64 where it was written as 0f... or 0d...
  int64_t offset = 0;          // address: [text + offset]
  bool negated = false;        // !%p1
  std::vector<Operand> parts;  // list: {a, b}, (a, b) or a|b
};

// Where the statement came from: the innermost source line, and where that was inlined.
struct Location {
  int file = 0, line = 0;
  int outer_file = 0, outer_line = 0;
};

struct Statement {
  int line = 0;
  Location location;
  std::string guard;  // @%p1, or empty
  bool guard_negated = false;
  std::vector<std::string> opcode;  // "ld.global.f32" in three parts
  std::vector<Operand> operands;

  bool has(const char* part) const {
    for (size_t i = 1; i < opcode.size(); ++i)
      if (opcode[i] == part) return true;
    return false;
  }
  std::string name() const {
    std::string joined;
    for (const std::string& part : opcode) joined += (joined.empty() ? "" : ".") + part;
    return joined;
  }
};

struct Variable {
  std::string space;  // global, const, shared, local, param
  std::string name;
  int line = 0;
  size_t align = 1, size = 0;
  bool is_extern = false;
  std::vector<uint8_t> initial;                          // empty: zeros
  std::vector<std::pair<size_t, std::string>> pointers;  // offset -> symbol whose address stands there
};

struct Function {
  std::string name;
  bool is_entry = false, has_body = false;
  int line = 0, max_threads = 0;
  std::vector<Variable> results, parameters, variables;
  std::vector<std::string> registers;
  std::vector<Statement> statements;
  std::map<std::string, size_t> labels;                      // label -> statement that follows
  std::map<std::string, std::vector<std::string>> branches;  // .branchtargets
};

struct Module {
  std::string source;
  std::vector<Variable> variables;
  std::map<std::string, Function> functions;
  std::map<int, std::string> files;

  std::string where(const Location& at) const;  // "layernorm.cu:17", or empty
};

// The width in bytes of "f32", "b8", ...; 0 for what is no type.
size_t type_size(const std::string& type);

Module parse(std::string source);

}  // namespace gpusim::ptx
