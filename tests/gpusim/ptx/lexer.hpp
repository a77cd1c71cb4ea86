// PTX text as a row of tokens. Only what the parser asks of them: a kind, the text and the line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gpusim::ptx {

enum class TokenKind { word, number, text, punct, end };

struct Token {
  TokenKind kind = TokenKind::end;
  std::string_view text;  // into the module's source, which outlives the tokens
  int line = 0;
};

// Words keep their dots ("ld.global.nc.f32", "%tid.x", ".reg"): PTX never puts a dot between two words.
std::vector<Token> tokenise(std::string_view source);

}  // namespace gpusim::ptx
