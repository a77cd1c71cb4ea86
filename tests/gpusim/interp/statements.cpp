// Which operand of a statement goes where, and which handler runs it.
#include "interp/function_decoder.hpp"
#include "interp/pick.hpp"

namespace gpusim {
namespace {

Space space_of(const ptx::Statement& s) {
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

Rounding rounding_of(const ptx::Statement& s) {
  if (s.has("rz") || s.has("rzi")) return Rounding::zero;
  if (s.has("rm") || s.has("rmi")) return Rounding::down;
  if (s.has("rp") || s.has("rpi")) return Rounding::up;
  return Rounding::nearest;
}

}  // namespace

void FunctionDecoder::decode() {
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

void FunctionDecoder::statement(const ptx::Statement& s, Insn& i) {
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
  for (auto pick : {pick_warp, pick_control, pick_memory, pick_atomic, pick_compare, pick_convert, pick_float,
                    pick_bits, pick_integer})
    if (!i.run && (i.run = pick(s, i))) break;
  if (!i.run) {
    i.run = unknown_opcode;
    program_.unknown.push_back("PTX line " + std::to_string(s.line) + ": " + s.name());
  }
}

void FunctionDecoder::operands(const ptx::Statement& s, Insn& i) {
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

void FunctionDecoder::plain(const ptx::Statement& s, Insn& i, const std::string& type) {
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

void FunctionDecoder::barrier(const ptx::Statement& s, Insn& i) {
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

void FunctionDecoder::call(const ptx::Statement& s, Insn& i) {
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

}  // namespace gpusim
