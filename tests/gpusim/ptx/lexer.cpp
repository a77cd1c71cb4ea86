#include "ptx/lexer.hpp"

#include <cctype>

namespace gpusim::ptx {
namespace {

bool in_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$' || c == '%' || c == '.';
}

}  // namespace

std::vector<Token> tokenise(std::string_view s) {
  std::vector<Token> tokens;
  int line = 1;
  size_t i = 0;
  while (i < s.size()) {
    char c = s[i];
    if (c == '\n') ++line;
    if (std::isspace(static_cast<unsigned char>(c)) || c == '\0') {
      ++i;
    } else if (c == '/' && i + 1 < s.size() && s[i + 1] == '/') {
      while (i < s.size() && s[i] != '\n') ++i;
    } else if (c == '/' && i + 1 < s.size() && s[i + 1] == '*') {
      for (i += 2; i + 1 < s.size() && !(s[i] == '*' && s[i + 1] == '/'); ++i)
        if (s[i] == '\n') ++line;
      i += 2;
    } else if (c == '"') {
      size_t begin = ++i;
      while (i < s.size() && s[i] != '"') ++i;
      tokens.push_back({TokenKind::text, s.substr(begin, i - begin), line});
      ++i;
    } else if (in_word(c)) {
      size_t begin = i;
      // A double colon belongs to the word (".L2::128B"); a single one ends a label.
      while (i < s.size() && (in_word(s[i]) || s.substr(i, 2) == "::")) i += s[i] == ':' ? 2 : 1;
      TokenKind kind = std::isdigit(static_cast<unsigned char>(c)) ? TokenKind::number : TokenKind::word;
      tokens.push_back({kind, s.substr(begin, i - begin), line});
    } else {
      tokens.push_back({TokenKind::punct, s.substr(i, 1), line});
      ++i;
    }
  }
  tokens.push_back({TokenKind::end, {}, line});
  return tokens;
}

}  // namespace gpusim::ptx
