#include "interp/decode.hpp"

#include <cxxabi.h>

#include <cstdlib>

#include "interp/function_decoder.hpp"
#include "interp/pick.hpp"

namespace gpusim {

std::string last_type(const ptx::Statement& s) {
  for (size_t k = s.opcode.size(); k-- > 1;)
    if (ptx::type_size(s.opcode[k])) return s.opcode[k];
  return "";
}
std::string first_type(const ptx::Statement& s) {
  for (size_t k = 1; k < s.opcode.size(); ++k)
    if (ptx::type_size(s.opcode[k])) return s.opcode[k];
  return "";
}

namespace {

std::string demangled(const std::string& name) {
  int status = 0;
  std::unique_ptr<char, void (*)(void*)> text(abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status),
                                              std::free);
  if (!text) return name;
  std::string full = text.get(), hidden = "(anonymous namespace)::";
  for (size_t at; (at = full.find(hidden)) != std::string::npos;) full.erase(at, hidden.size());
  int depth = 0;  // the parameters begin at the first bracket outside of template arguments
  for (size_t k = 0; k < full.size(); ++k) {
    depth += full[k] == '<' ? 1 : full[k] == '>' ? -1 : 0;
    if (full[k] == '(' && depth == 0) full.resize(k);
  }
  return full.starts_with("void ") ? full.substr(5) : full;
}

}  // namespace

std::unique_ptr<Program> decode(ptx::Module module, const Place& place) {
  auto program = std::make_unique<Program>();
  program->module = std::move(module);
  const ptx::Module& m = program->module;
  std::map<std::string, uint64_t> globals, shared;
  size_t shared_end = 0, shared_asked = 0;
  std::vector<std::pair<size_t, size_t>> common;
  auto variable = [&](const ptx::Variable& v) {
    if (v.space == "global" || v.space == "const") {
      globals[v.name] = place(v);
    } else if (v.space == "shared" && v.is_extern) {
      shared[v.name] = FunctionDecoder::dynamic;
    } else if (v.space == "shared") {
      size_t begin = align_up(shared_end, std::max<size_t>(v.align, 16));
      shared[v.name] = begin;
      common.emplace_back(begin, begin + v.size);
      shared_asked = align_up(shared_asked, v.align) + v.size;
      shared_end = begin + v.size + 64;
    }
  };
  for (const ptx::Variable& v : m.variables) variable(v);
  for (const auto& [name, f] : m.functions)
    for (const ptx::Variable& v : f.variables)
      if (v.space == "global" || v.space == "const" || (v.space == "shared" && !f.is_entry)) variable(v);

  std::vector<std::unique_ptr<FunctionDecoder>> decoders;
  for (const auto& [name, f] : m.functions) {
    if (!f.has_body) continue;
    Code& code = program->functions[name];
    code.name = name;
    code.shown = demangled(name);
    code.is_entry = f.is_entry;
    code.max_threads = f.max_threads;
    code.module = &m;
    code.shared_variables = common;
    code.static_shared = shared_asked;
    decoders.push_back(std::make_unique<FunctionDecoder>(*program, f, code, globals, shared));
    decoders.back()->lay_out(shared_end);
  }
  for (auto& d : decoders) d->decode();
  return program;
}

}  // namespace gpusim
