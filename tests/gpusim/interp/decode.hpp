// From parsed PTX to the compact form.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "interp/insn.hpp"

namespace gpusim {

struct Program {
  ptx::Module module;
  std::map<std::string, Code> functions;
  // Every opcode the interpreter has no handler for, with its PTX line.
  std::vector<std::string> unknown;
};

// `place` gives the device address of a .global or .const variable.
using Place = std::function<uint64_t(const ptx::Variable&)>;
std::unique_ptr<Program> decode(ptx::Module module, const Place& place);

}  // namespace gpusim
