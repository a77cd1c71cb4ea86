#include "interp/decode.hpp"

#include <cxxabi.h>

#include <cstdlib>
#include <set>
#include <tuple>

#include "interp/pick.hpp"
#include "interp/thread.hpp"

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
  std::string full = text.get();
  return full.substr(0, full.find('('));
}

const std::map<std::string, uint32_t>& special_registers() {
  static const std::map<std::string, uint32_t> map{{"%tid.x", slot::tid_x},
                                                   {"%tid.y", slot::tid_y},
                                                   {"%tid.z", slot::tid_z},
                                                   {"%ntid.x", slot::ntid_x},
                                                   {"%ntid.y", slot::ntid_y},
                                                   {"%ntid.z", slot::ntid_z},
                                                   {"%ctaid.x", slot::ctaid_x},
                                                   {"%ctaid.y", slot::ctaid_y},
                                                   {"%ctaid.z", slot::ctaid_z},
                                                   {"%nctaid.x", slot::nctaid_x},
                                                   {"%nctaid.y", slot::nctaid_y},
                                                   {"%nctaid.z", slot::nctaid_z},
                                                   {"%laneid", slot::laneid},
                                                   {"%warpid", slot::warpid},
                                                   {"%nwarpid", slot::nwarpid},
                                                   {"%lanemask_eq", slot::lanemask_eq},
                                                   {"%lanemask_lt", slot::lanemask_lt},
                                                   {"%lanemask_le", slot::lanemask_le},
                                                   {"%lanemask_gt", slot::lanemask_gt},
                                                   {"%lanemask_ge", slot::lanemask_ge},
                                                   {"%dynamic_smem_size", slot::dynamic_bytes},
                                                   {"%total_smem_size", slot::total_bytes},
                                                   {"%clock", slot::clock},
                                                   {"%clock64", slot::clock},
                                                   {"%globaltimer", slot::clock},
                                                   {"%smid", slot::zero},
                                                   {"%nsmid", slot::one},
                                                   {"WARP_SZ", slot::nwarpid}};
  return map;
}

size_t align_up(size_t at, size_t align) { return (at + align - 1) / align * align; }

class FunctionDecoder {
 public:
  FunctionDecoder(Program& program, const ptx::Function& f, Code& code,
                  const std::map<std::string, uint64_t>& globals,
                  const std::map<std::string, uint64_t>& module_shared)
      : program_(program), f_(f), code_(code), globals_(globals), shared_(module_shared) {}

  // Slots and offsets first: a call needs the callee's layout.
  void lay_out(size_t shared_begin) {
    slots_ = special_registers();
    for (const std::string& r : f_.registers)
      slots_.emplace(r, static_cast<uint32_t>(slot::count + slots_.size()));
    next_ = static_cast<uint32_t>(slot::count + slots_.size());
    size_t bytes = align_up((next_ + most_constants()) * 8, 16);
    auto parameter = [&](const ptx::Variable& v) {
      bytes = align_up(bytes, std::max<size_t>(v.align, 1));
      Code::Parameter p{static_cast<uint32_t>(bytes), static_cast<uint32_t>(v.size)};
      parameters_[v.name] = p;
      bytes += v.size;
      return p;
    };
    for (const ptx::Variable& v : f_.parameters) code_.parameters.push_back(parameter(v));
    for (const ptx::Variable& v : f_.results) code_.results.push_back(parameter(v));
    code_.shared_layout = shared_begin;
    for (const ptx::Variable& v : f_.variables) {
      if (v.space == "param") {
        parameter(v);
      } else if (v.space == "local") {
        code_.local_size = align_up(code_.local_size, v.align);
        local_[v.name] = code_.local_size;
        code_.local_size += v.size;
      } else if (v.space == "shared" && f_.is_entry) {
        size_t begin = align_up(code_.shared_layout, std::max<size_t>(v.align, 16));
        shared_[v.name] = begin;
        code_.static_shared = align_up(code_.static_shared, v.align) + v.size;
        code_.shared_variables.emplace_back(begin, begin + v.size);
        code_.shared_layout = begin + v.size + 64;
      }
    }
    code_.frame.assign(align_up(bytes, 8) / 8, 0);
    code_.frame[slot::one] = 1;
  }

  void decode() {
    code_.insns.resize(f_.statements.size() + 1);
    for (size_t k = 0; k < f_.statements.size(); ++k) {
      const ptx::Statement& s = f_.statements[k];
      try {
        statement(s, code_.insns[k]);
      } catch (const ptx::Error&) {
        throw;
      } catch (const std::exception& e) {
        throw ptx::Error(s.line, s.name() + ": " + e.what());
      }
    }
    // Falling off the end returns.
    static const ptx::Statement end = [] {
      ptx::Statement s;
      s.opcode = {"ret"};
      return s;
    }();
    Insn& last = code_.insns.back();
    last.source = &end;
    last.hit = true;
    last.run = pick_control(end, last);
  }

 private:
  // An upper bound: immediates and symbols that differ as they are written.
  size_t most_constants() const {
    std::set<std::tuple<std::string, int, uint64_t>> distinct;
    std::function<void(const ptx::Operand&)> visit = [&](const ptx::Operand& o) {
      if (o.kind == ptx::Operand::immediate)
        distinct.emplace("", o.float_width, o.bits);
      else if (!o.text.empty() && !slots_.count(o.text))
        distinct.emplace(o.text, 0, static_cast<uint64_t>(o.offset));
      for (const ptx::Operand& part : o.parts) visit(part);
    };
    for (const ptx::Statement& s : f_.statements)
      for (const ptx::Operand& o : s.operands) visit(o);
    return distinct.size() * 2;  // an address uses the symbol without its offset
  }

  uint32_t constant(uint64_t bits) {
    auto [it, fresh] = constants_.emplace(bits, next_);
    if (fresh) {
      if (next_ >= code_.frame.size()) throw std::runtime_error("no room for constants");
      code_.frame[next_++] = bits;
    }
    return it->second;
  }

  uint32_t operand(const ptx::Operand& o, const std::string& type) {
    if (o.kind == ptx::Operand::immediate) {
      if (o.float_width == 64 && type == "f32")
        return constant(std::bit_cast<uint32_t>(static_cast<float>(std::bit_cast<double>(o.bits))));
      if (o.float_width == 32 && type == "f64")
        return constant(std::bit_cast<uint64_t>(
            static_cast<double>(std::bit_cast<float>(static_cast<uint32_t>(o.bits)))));
      return constant(o.bits);
    }
    if (o.text == "_") return slot::sink;
    if (o.text == "WARP_SZ") return constant(32);
    auto it = slots_.find(o.text);
    if (it != slots_.end()) return it->second;
    if (auto g = globals_.find(o.text); g != globals_.end())
      return constant(g->second + static_cast<uint64_t>(o.offset));
    if (auto s = shared_.find(o.text); s != shared_.end())
      return s->second == dynamic ? uint32_t{slot::dynamic_shared}
                                  : constant(s->second + static_cast<uint64_t>(o.offset));
    if (auto p = parameters_.find(o.text); p != parameters_.end())
      return constant(p->second.offset + static_cast<uint64_t>(o.offset));
    throw std::runtime_error("unknown name " + o.text);
  }

  // An address is a slot and a constant offset.
  void address(const ptx::Operand& o, Insn& i) {
    i.imm = o.offset;
    if (o.kind == ptx::Operand::address && o.text.empty()) return;
    if (auto l = local_.find(o.text); l != local_.end()) {
      i.a = slot::local_base;
      i.imm += static_cast<int64_t>(l->second);
      return;
    }
    ptx::Operand base = o;
    base.kind = ptx::Operand::name;
    base.offset = 0;
    i.a = operand(base, "u64");
  }

  void vector(const ptx::Operand& o, const std::string& type, Insn& i) {
    if (o.kind != ptx::Operand::list) {
      i.v[0] = operand(o, type);
      return;
    }
    if (o.parts.size() > 4) throw std::runtime_error("a vector of more than four");
    i.count = static_cast<uint8_t>(o.parts.size());
    for (size_t k = 0; k < o.parts.size(); ++k) i.v[k] = operand(o.parts[k], type);
  }

  static Space space_of(const ptx::Statement& s) {
    for (size_t k = 1; k < s.opcode.size(); ++k) {
      std::string part = s.opcode[k].substr(0, s.opcode[k].find("::"));
      if (part == "global") return Space::global;
      if (part == "shared") return Space::shared;
      if (part == "local") return Space::local;
      if (part == "const") return Space::constant;
      if (part == "param") return Space::param;
    }
    return Space::generic;
  }
  static Rounding rounding_of(const ptx::Statement& s) {
    if (s.has("rz") || s.has("rzi")) return Rounding::zero;
    if (s.has("rm") || s.has("rmi")) return Rounding::down;
    if (s.has("rp") || s.has("rpi")) return Rounding::up;
    return Rounding::nearest;
  }

  uint32_t label(const std::string& name) const {
    auto it = f_.labels.find(name);
    if (it == f_.labels.end()) throw std::runtime_error("unknown label " + name);
    return static_cast<uint32_t>(it->second);
  }

  void statement(const ptx::Statement& s, Insn& i) {
    i.source = &s;
    i.space = space_of(s);
    i.rounding = rounding_of(s);
    i.ftz = s.has("ftz");
    i.saturate = s.has("sat");
    if (!s.guard.empty()) {
      i.guard = slots_.at(s.guard);
      i.wanted = !s.guard_negated;
    }
    operands(s, i);
    for (auto pick : {pick_warp, pick_control, pick_memory, pick_atomic, pick_compare, pick_convert,
                      pick_float, pick_bits, pick_integer})
      if (!i.run && (i.run = pick(s, i))) break;
    if (!i.run) {
      i.run = unknown_opcode;
      program_.unknown.push_back("PTX line " + std::to_string(s.line) + ": " + s.name());
    }
  }

  void operands(const ptx::Statement& s, Insn& i) {
    const std::string& op = s.opcode[0];
    const std::vector<ptx::Operand>& o = s.operands;
    std::string type = last_type(s);
    if (op == "bra") {
      i.target = label(o.at(0).text);
    } else if (op == "brx") {
      i.a = operand(o.at(0), "u32");
      for (const std::string& l : f_.branches.at(o.at(1).text)) i.table.push_back(label(l));
    } else if (op == "call") {
      call(s, i);
    } else if (op == "ld" || op == "ldu") {
      address(o.at(1), i);
      vector(o.at(0), type, i);
    } else if (op == "st") {
      address(o.at(0), i);
      vector(o.at(1), type, i);
    } else if (op == "atom") {
      i.dst = operand(o.at(0), type);
      address(o.at(1), i);
      i.b = operand(o.at(2), type);
      if (o.size() > 3) i.c = operand(o[3], type);
    } else if (op == "red") {
      address(o.at(0), i);
      i.b = operand(o.at(1), type);
    } else if (op == "prefetch" || op == "prefetchu" || op == "discard" || op == "applypriority") {
    } else if (op == "mov" && (o.at(0).kind == ptx::Operand::list || o.at(1).kind == ptx::Operand::list)) {
      bool unpack = o[0].kind == ptx::Operand::list;
      vector(o[unpack ? 0 : 1], "u32", i);
      (unpack ? i.a : i.dst) = operand(o[unpack ? 1 : 0], type);
    } else if (op == "mov" && local_.count(o.at(1).text)) {
      i.dst = operand(o[0], type);
      address(o[1], i);
    } else if ((op == "bar" && s.has("warp"))) {
      i.d = operand(o.at(0), "b32");
    } else if (op == "bar" || op == "barrier") {
      barrier(s, i);
    } else {
      plain(s, i, type);
    }
  }

  // dst[|second], a, b, c, d; the mask of the warp's operations is the last one and goes to d.
  void plain(const ptx::Statement& s, Insn& i, const std::string& type) {
    const std::vector<ptx::Operand>& o = s.operands;
    if (o.empty()) return;
    if (o[0].kind == ptx::Operand::list) {
      i.dst = operand(o[0].parts.at(0), type);
      i.v[0] = operand(o[0].parts.at(1), type);
    } else if (o[0].kind == ptx::Operand::name) {
      i.dst = operand(o[0], type);
    }
    uint32_t* const places[] = {&i.a, &i.b, &i.c, &i.d};
    for (size_t k = 1; k < o.size() && k < 5; ++k) *places[k - 1] = operand(o[k], type);
    if (s.has("sync") && o.size() > 1) i.d = operand(o.back(), "b32");
  }

  // bar.sync id [, threads]; bar.red.op dst, id [, threads], predicate.
  void barrier(const ptx::Statement& s, Insn& i) {
    std::vector<ptx::Operand> o = s.operands;
    if (s.has("red")) {
      i.dst = operand(o.at(0), "u32");
      i.c = operand(o.back(), "pred");
      i.flag = o.back().negated;
      o.erase(o.begin());
      o.pop_back();
    }
    if (!o.empty()) i.a = operand(o[0], "u32");
    if (o.size() > 1) i.b = operand(o[1], "u32");
  }

  void call(const ptx::Statement& s, Insn& i) {
    i.call = std::make_unique<CallSite>();
    std::vector<std::string> results, arguments;
    size_t k = 0;
    auto names = [](const ptx::Operand& o) {
      std::vector<std::string> list;
      for (const ptx::Operand& part : o.parts) list.push_back(part.text);
      return list;
    };
    if (s.operands.at(0).kind == ptx::Operand::list) results = names(s.operands[k++]);
    i.call->callee_name = s.operands.at(k++).text;
    if (k < s.operands.size()) arguments = names(s.operands[k]);
    auto it = program_.functions.find(i.call->callee_name);
    if (it == program_.functions.end() || it->second.frame.empty()) return;  // reported when it is called
    i.call->callee = &it->second;
    for (size_t a = 0; a < arguments.size(); ++a) {
      const Code::Parameter& to = it->second.parameters.at(a);
      i.call->arguments.push_back({parameters_.at(arguments[a]).offset, to.offset, to.size});
    }
    for (size_t r = 0; r < results.size(); ++r) {
      const Code::Parameter& from = it->second.results.at(r);
      i.call->results.push_back({from.offset, parameters_.at(results[r]).offset, from.size});
    }
  }

 public:
  static constexpr uint64_t dynamic = ~uint64_t{0};  // in place of an offset: extern shared memory

 private:
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
