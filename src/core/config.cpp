#include "rondo/core/config.hpp"

#include <fmt/ranges.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <set>
#include <sstream>

#include "rondo/core/error.hpp"

namespace rondo {

struct ConfigReader::Document {
  std::string origin;
  std::map<std::string, toml::node*> keys;          // flattened "section.key" -> node in `root`
  std::map<std::string, std::string> places;        // key -> "file:line" or "--set"
  std::vector<std::unique_ptr<toml::table>> roots;  // own the nodes
  std::set<std::string> known;

  void flatten(toml::table& table, const std::string& prefix, bool override_) {
    for (auto&& [key, node] : table) {
      const std::string name =
          prefix.empty() ? std::string(key.str()) : prefix + "." + std::string(key.str());
      if (node.is_table()) {
        flatten(*node.as_table(), name, override_);
        continue;
      }
      keys[name] = &node;
      places[name] = override_ ? "--set " + name : fmt::format("{}:{}", origin, node.source().begin.line);
    }
  }

  void override_with(const std::string& assignment) {
    const auto equals = assignment.find('=');
    if (equals == std::string::npos || equals == 0)
      input_error("--set {}: expected key=value, for example --set train.max_steps=100", assignment);
    const std::string key = assignment.substr(0, equals), value = assignment.substr(equals + 1);
    auto parse = [&](const std::string& text) {
      return std::make_unique<toml::table>(toml::parse(key + " = " + text, std::string_view("--set")));
    };
    std::unique_ptr<toml::table> table;
    try {
      table = parse(value);
    } catch (const toml::parse_error&) {
      try {  // a bare word is a string: --set task.kind=energy needs no quotes
        std::string quoted;
        for (char c : value) quoted += (c == '"' || c == '\\') ? std::string("\\") + c : std::string(1, c);
        table = parse("\"" + quoted + "\"");
      } catch (const toml::parse_error&) {
        input_error("--set {}: not a TOML key and value; expected for example --set train.max_steps=100",
                    assignment);
      }
    }
    flatten(*table, "", true);
    roots.push_back(std::move(table));
  }
};

ConfigReader::ConfigReader(std::unique_ptr<Document> document) : document_(std::move(document)) {}
ConfigReader::~ConfigReader() = default;
ConfigReader::ConfigReader(ConfigReader&&) noexcept = default;

ConfigReader ConfigReader::from_file(const std::string& path, const std::vector<std::string>& overrides) {
  std::ifstream in(path);
  if (!in)
    input_error("{}: cannot be opened; expected a TOML configuration such as configs/energy.toml", path);
  std::stringstream text;
  text << in.rdbuf();
  if (in.bad() || text.fail())
    input_error("{}: cannot be read (is it a directory, or empty?); expected a TOML configuration", path);
  return from_text(text.str(), path, overrides);
}

ConfigReader ConfigReader::from_text(const std::string& text, const std::string& origin,
                                     const std::vector<std::string>& overrides) {
  auto document = std::make_unique<Document>();
  document->origin = origin;
  try {
    document->roots.push_back(std::make_unique<toml::table>(toml::parse(text, std::string_view(origin))));
  } catch (const toml::parse_error& e) {
    input_error("{}:{}: not valid TOML: {}", origin, e.source().begin.line, e.description());
  }
  document->flatten(*document->roots.back(), "", false);
  for (const std::string& assignment : overrides) document->override_with(assignment);
  return ConfigReader(std::move(document));
}

std::string ConfigReader::where(const std::string& name) const {
  const auto it = document_->places.find(name);
  return it == document_->places.end() ? document_->origin : it->second;
}

namespace {

[[noreturn]] void ill_typed(const std::string& where, const char* name, const char* expected,
                            const toml::node& node) {
  std::stringstream got;
  if (auto* s = node.as_string())
    got << '"' << s->get() << '"';
  else
    node.visit([&](auto&& v) { got << v; });
  input_error("{}: {} must be {}, not {}", where, name, expected, got.str());
}

template <class T>
void check_range(const std::string& where, const char* name, T value, Range<T> range) {
  if (value >= range.low && value <= range.high) return;
  const bool open = range.high == std::numeric_limits<T>::max();
  if (open) input_error("{}: {} must be at least {}, not {}", where, name, range.low, value);
  input_error("{}: {} must be between {} and {}, not {}", where, name, range.low, range.high, value);
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::stringstream in(text);
  for (std::string part; std::getline(in, part, separator);) parts.push_back(part);
  return parts;
}

}  // namespace

// The node of a key, or nullptr when it keeps its default. The key counts as known either way.
#define RONDO_CONFIG_NODE(name)                  \
  document_->known.insert(name);                 \
  const auto found = document_->keys.find(name); \
  if (found == document_->keys.end()) return;    \
  const toml::node& node = *found->second;       \
  const std::string at = where(name)

void ConfigReader::field(const char* name, std::int64_t& value, IntRange range, Effect, const char*) {
  RONDO_CONFIG_NODE(name);
  if (!node.is_integer()) ill_typed(at, name, "an integer", node);
  value = node.as_integer()->get();
  check_range(at, name, value, range);
}

void ConfigReader::field(const char* name, double& value, RealRange range, Effect, const char*) {
  RONDO_CONFIG_NODE(name);
  if (!node.is_number()) ill_typed(at, name, "a number", node);
  value = *node.value<double>();
  if (!std::isfinite(value)) input_error("{}: {} must be finite", at, name);
  check_range(at, name, value, range);
}

void ConfigReader::field(const char* name, bool& value, Effect, const char*) {
  RONDO_CONFIG_NODE(name);
  if (!node.is_boolean()) ill_typed(at, name, "true or false", node);
  value = node.as_boolean()->get();
}

void ConfigReader::field(const char* name, std::string& value, const char* choices, Effect, const char*) {
  RONDO_CONFIG_NODE(name);
  const std::vector<std::string> valid = split(choices, '|');
  const bool is_switch = std::ranges::find(valid, "true") != valid.end();  // of three ways: auto|true|false
  if (is_switch && node.is_boolean()) {
    value = node.as_boolean()->get() ? "true" : "false";
    return;
  }
  if (!node.is_string()) ill_typed(at, name, "a string", node);
  value = node.as_string()->get();
  if (valid.empty() || std::ranges::find(valid, value) != valid.end()) return;
  input_error("{}: {} must be one of {}, not \"{}\"", at, name, fmt::join(valid, ", "), value);
}

void ConfigReader::field(const char* name, std::vector<std::int64_t>& value, IntRange range, Effect,
                         const char*) {
  RONDO_CONFIG_NODE(name);
  if (!node.is_array()) ill_typed(at, name, "a list of integers", node);
  value.clear();
  for (const toml::node& item : *node.as_array()) {
    if (!item.is_integer()) ill_typed(at, name, "a list of integers", node);
    value.push_back(item.as_integer()->get());
    check_range(at, name, value.back(), range);
  }
}

void ConfigReader::field(const char* name, std::vector<std::string>& value, Effect, const char*) {
  RONDO_CONFIG_NODE(name);
  if (!node.is_array()) ill_typed(at, name, "a list of strings", node);
  value.clear();
  for (const toml::node& item : *node.as_array()) {
    if (!item.is_string()) ill_typed(at, name, "a list of strings", node);
    value.push_back(item.as_string()->get());
  }
}
#undef RONDO_CONFIG_NODE

void ConfigReader::finish() const {
  for (const auto& [name, node] : document_->keys) {
    if (document_->known.contains(name)) continue;
    const std::vector<std::string> known(document_->known.begin(), document_->known.end());
    const std::string near = nearest(name, known);
    input_error("{}: unknown key {}{}", where(name), name,
                near.empty() ? std::string("; `rondo train --help-config` lists the valid keys")
                             : fmt::format("; did you mean {}?", near));
  }
}

void ConfigWriter::field(const char* name, std::int64_t& value, IntRange, Effect effect, const char* help) {
  fields_.push_back({name, fmt::format("{}", value), help, effect});
}
void ConfigWriter::field(const char* name, double& value, RealRange, Effect effect, const char* help) {
  std::string text = fmt::format("{}", value);  // the shortest text that reads back to the same double
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  fields_.push_back({name, text, help, effect});
}
void ConfigWriter::field(const char* name, bool& value, Effect effect, const char* help) {
  fields_.push_back({name, value ? "true" : "false", help, effect});
}

namespace {
std::string toml_string(const std::string& text) {
  std::stringstream out;
  out << toml::value<std::string>(text);
  return out.str();
}
}  // namespace

void ConfigWriter::field(const char* name, std::string& value, const char*, Effect effect, const char* help) {
  fields_.push_back({name, toml_string(value), help, effect});
}
void ConfigWriter::field(const char* name, std::vector<std::int64_t>& value, IntRange, Effect effect,
                         const char* help) {
  fields_.push_back({name, fmt::format("[{}]", fmt::join(value, ", ")), help, effect});
}
void ConfigWriter::field(const char* name, std::vector<std::string>& value, Effect effect, const char* help) {
  std::vector<std::string> items;
  for (const std::string& item : value) items.push_back(toml_string(item));
  fields_.push_back({name, fmt::format("[{}]", fmt::join(items, ", ")), help, effect});
}

std::string ConfigWriter::toml() const {
  std::string out, section;
  for (const FieldText& field : fields_) {
    const auto dot = field.name.rfind('.');
    const std::string its_section = field.name.substr(0, dot);
    if (its_section != section) {
      out += fmt::format("{}[{}]\n", out.empty() ? "" : "\n", its_section);
      section = its_section;
    }
    out += fmt::format("{} = {}  # {}\n", field.name.substr(dot + 1), field.value, field.help);
  }
  return out;
}

std::string nearest(const std::string& word, const std::vector<std::string>& candidates) {
  std::size_t best = word.size() / 2 + 2;  // farther than this is no help
  std::string answer;
  for (const std::string& candidate : candidates) {
    std::vector<std::size_t> row(candidate.size() + 1);
    for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= word.size(); ++i) {  // Levenshtein distance, one row at a time
      std::size_t diagonal = row[0];
      row[0] = i;
      for (std::size_t j = 1; j <= candidate.size(); ++j) {
        const std::size_t above = row[j];
        row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (word[i - 1] != candidate[j - 1])});
        diagonal = above;
      }
    }
    if (row.back() < best) best = row.back(), answer = candidate;
  }
  return answer;
}

}  // namespace rondo
