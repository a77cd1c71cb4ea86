#include <cstring>
#include <memory>
#include <utility>

#include "ptx/lexer.hpp"
#include "ptx/module.hpp"

namespace gpusim::ptx {

size_t type_size(const std::string& type) {
  static const std::map<std::string, size_t> sizes{
      {"b8", 1},   {"u8", 1},  {"s8", 1},    {"b16", 2},    {"u16", 2}, {"s16", 2}, {"f16", 2},
      {"bf16", 2}, {"b32", 4}, {"u32", 4},   {"s32", 4},    {"f32", 4}, {"b64", 8}, {"u64", 8},
      {"s64", 8},  {"f64", 8}, {"f16x2", 4}, {"bf16x2", 4}, {"pred", 1}};
  auto it = sizes.find(type);
  return it == sizes.end() ? 0 : it->second;
}

std::string Module::where(const Location& at) const {
  auto name = [&](int file, int line) {
    auto it = files.find(file);
    if (it == files.end() || line == 0) return std::string();
    return it->second.substr(it->second.rfind('/') + 1) + ":" + std::to_string(line);
  };
  std::string inner = name(at.file, at.line), outer = name(at.outer_file, at.outer_line);
  if (outer.empty()) return inner;
  return outer.append(" in ").append(inner);
}

namespace {

class Parser {
 public:
  explicit Parser(Module& module) : module_(module), tokens_(tokenise(module.source)) {}

  void run() {
    while (peek().kind != TokenKind::end) top_level();
  }

 private:
  const Token& peek(size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  bool is(std::string_view text) const { return peek().text == text && peek().kind != TokenKind::text; }
  Token take() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  bool accept(std::string_view text) { return is(text) && (take(), true); }
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(peek().line, std::string(what).append(" at ").append(peek().text));
  }
  void expect(std::string_view text) {
    if (!accept(text)) fail(std::string("expected ").append(text));
  }
  void skip_line() {
    for (int line = peek().line; peek().line == line && peek().kind != TokenKind::end;) take();
  }

  void top_level() {
    if (is(".version") || is(".target") || is(".address_size")) return skip_line();
    if (is(".file")) {
      int line = take().line;
      int index = std::stoi(std::string(take().text));
      module_.files[index] = std::string(take().text);
      while (peek().line == line && peek().kind != TokenKind::end) take();
      return;
    }
    if (accept(".section")) {
      while (!is("{")) take();
      for (int depth = 0;;) {
        if (is("{")) ++depth;
        if (is("}") && --depth == 0) break;
        if (peek().kind == TokenKind::end) fail("section without an end");
        take();
      }
      take();
      return;
    }
    bool is_extern = false;
    while (is(".visible") || is(".extern") || is(".weak") || is(".common"))
      is_extern |= take().text == ".extern";
    if (is(".entry") || is(".func")) return function();
    if (is(".global") || is(".const") || is(".shared")) {
      module_.variables.push_back(variable());
      module_.variables.back().is_extern = is_extern;
      return expect(";");
    }
    if (accept(".pragma") || accept(".alias")) {
      while (!accept(";")) take();
      return;
    }
    fail("unknown directive");
  }

  // .space [.align n] .type name[n][m] [= {...}], without the closing mark.
  Variable variable() {
    Variable v;
    v.space = std::string(take().text).substr(1);
    v.line = peek().line;
    size_t element = 0;
    while (peek().text.substr(0, 1) == ".") {
      std::string word(take().text.substr(1));
      if (word == "align") {
        v.align = std::stoul(std::string(take().text));
      } else if (size_t size = type_size(word)) {
        element = size;
      } else if (word == "v2" || word == "v4") {
        element = 0;
        fail("vector variables are not supported");
      }  // .ptr, .attribute and the like say nothing about the layout
    }
    v.name = std::string(take().text);
    v.align = std::max(v.align, element);
    v.size = element;
    while (accept("[")) {
      v.size *= is("]") ? 0 : std::stoul(std::string(take().text), nullptr, 0);
      expect("]");
    }
    if (accept("=")) {
      initialiser(v, element);
      if (v.size == 0) v.size = v.initial.size();
      v.initial.resize(v.size);
    }
    return v;
  }

  void initialiser(Variable& v, size_t element) {
    if (accept("{")) {
      while (!accept("}")) {
        initialiser(v, element);
        accept(",");
      }
      return;
    }
    size_t offset = v.initial.size();
    v.initial.resize(offset + element);
    if (peek().kind == TokenKind::word) {
      std::string symbol(take().text);
      if (symbol == "generic") {
        expect("(");
        symbol = std::string(take().text);
        expect(")");
      }
      v.pointers.emplace_back(offset, symbol);
      return;
    }
    uint64_t bits = operand().bits;
    std::memcpy(v.initial.data() + offset, &bits, element);
  }

  std::vector<Variable> parameters() {
    std::vector<Variable> list;
    expect("(");
    while (!accept(")")) {
      list.push_back(variable());
      accept(",");
    }
    return list;
  }

  void function() {
    Function f;
    f.line = peek().line;
    f.is_entry = take().text == ".entry";
    if (is("(")) f.results = parameters();
    f.name = std::string(take().text);
    if (is("(")) f.parameters = parameters();
    while (!is("{") && !is(";")) {
      if (accept(".maxntid") || accept(".reqntid")) {
        f.max_threads = std::stoi(std::string(take().text));
        while (accept(",")) f.max_threads *= std::stoi(std::string(take().text));
      } else {
        take();
      }
    }
    if (!accept(";")) {
      f.has_body = true;
      body(f);
    }
    Function& known = module_.functions[f.name];
    if (f.has_body || !known.has_body) known = std::move(f);
  }

  void body(Function& f) {
    renamed_.clear();
    Location location;
    int depth = 0;
    do {
      if (accept("{")) {
        ++depth;
      } else if (accept("}")) {
        --depth;
      } else if (peek().kind == TokenKind::end) {
        fail("function without an end");
      } else if (is(".loc")) {
        location = loc();
      } else if (accept(".reg")) {
        take();
        do registers(f);
        while (accept(","));
        expect(";");
      } else if (is(".local") || is(".shared") || is(".param") || is(".const") || is(".global")) {
        Variable v = variable();
        expect(";");
        if (v.space == "param") {
          // The compiler uses one name for many calls with other sizes.
          std::string unique = v.name + "#" + std::to_string(f.variables.size());
          renamed_[v.name] = unique;
          v.name = unique;
        }
        f.variables.push_back(std::move(v));
      } else if (is(".pragma") || is(".callprototype")) {
        while (!accept(";")) take();
      } else if (peek().kind == TokenKind::word && peek(1).text == ":") {
        label(f);
      } else {
        statement(f, location);
      }
    } while (depth > 0);
  }

  Location loc() {
    Location at;
    int line = take().line;
    auto number = [&] { return std::stoi(std::string(take().text)); };
    at.file = number();
    at.line = number();
    while (peek().line == line) {
      if (take().text == "inlined_at") {
        at.outer_file = number();
        at.outer_line = number();
      }
    }
    return at;
  }

  void registers(Function& f) {
    std::string name(take().text);
    if (!accept("<")) {
      f.registers.push_back(name);
      return;
    }
    int count = std::stoi(std::string(take().text));
    expect(">");
    for (int i = 0; i < count; ++i) f.registers.push_back(name + std::to_string(i));
  }

  void label(Function& f) {
    std::string name(take().text);
    take();
    if (accept(".branchtargets")) {
      do f.branches[name].push_back(std::string(take().text));
      while (accept(","));
      expect(";");
    } else {
      f.labels[name] = f.statements.size();
    }
  }

  void statement(Function& f, const Location& location) {
    Statement s;
    s.line = peek().line;
    s.location = location;
    if (accept("@")) {
      s.guard_negated = accept("!");
      s.guard = std::string(take().text);
    }
    std::string_view word = take().text;
    for (size_t begin = 0; begin <= word.size();) {
      size_t end = std::min(word.find('.', begin), word.size());
      s.opcode.emplace_back(word.substr(begin, end - begin));
      begin = end + 1;
    }
    while (!accept(";")) {
      s.operands.push_back(operand());
      if (!is(";")) expect(",");
    }
    f.statements.push_back(std::move(s));
  }

  Operand list(std::string_view close) {
    Operand o;
    o.kind = Operand::list;
    while (!accept(close)) {
      o.parts.push_back(operand());
      accept(",");
    }
    return o;
  }

  Operand operand() {
    if (accept("{")) return list("}");
    if (accept("(")) return list(")");
    Operand o;
    if (accept("[")) {
      o.kind = Operand::address;
      if (peek().kind == TokenKind::word) o.text = symbol();
      if (accept("+") || is("-") || peek().kind == TokenKind::number)
        o.offset = static_cast<int64_t>(number().bits);
      expect("]");
      return o;
    }
    if (accept("!")) o.negated = true;
    if (peek().kind == TokenKind::number || is("-")) return number();
    if (peek().kind != TokenKind::word) fail("unreadable operand");
    o.text = symbol();
    if (accept("+")) o.offset = static_cast<int64_t>(number().bits);
    if (accept("|")) {
      Operand pair;
      pair.kind = Operand::list;
      pair.parts = {o, operand()};
      return pair;
    }
    return o;
  }

  std::string symbol() {
    std::string name(take().text);
    auto it = renamed_.find(name);
    return it == renamed_.end() ? name : it->second;
  }

  Operand number() {
    Operand o;
    o.kind = Operand::immediate;
    bool minus = accept("-");
    std::string text(take().text);
    if (text.size() == 10 && (text.substr(0, 2) == "0f" || text.substr(0, 2) == "0F")) {
      o.float_width = 32;
      o.bits = std::stoul(text.substr(2), nullptr, 16);
    } else if (text.size() == 18 && (text.substr(0, 2) == "0d" || text.substr(0, 2) == "0D")) {
      o.float_width = 64;
      o.bits = std::stoull(text.substr(2), nullptr, 16);
    } else {
      o.bits = std::stoull(text, nullptr, 0);
      if (minus) o.bits = 0 - o.bits;
    }
    return o;
  }

  Module& module_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  std::map<std::string, std::string> renamed_;  // .param of a call -> its unique name
};

}  // namespace

Module parse(std::string source) {
  Module module;
  module.source = std::move(source);
  Parser(module).run();
  module.source.clear();
  return module;
}

}  // namespace gpusim::ptx
