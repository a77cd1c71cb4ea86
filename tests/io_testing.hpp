// What the tests of files share: a folder that cleans up, small writers, and the text of an error.
#pragma once

#include <zlib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "catch.hpp"
#include "rondo/core/error.hpp"

struct TemporaryFolder {
  std::string path = (std::filesystem::temp_directory_path() / "rondo-test-XXXXXX").string();
  TemporaryFolder() { REQUIRE(mkdtemp(path.data()) != nullptr); }
  ~TemporaryFolder() { std::filesystem::remove_all(path); }
  std::string operator/(const std::string& name) const { return path + "/" + name; }
};

inline void write_text(const std::string& path, std::string_view text) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

inline void write_gzip(const std::string& path, std::string_view text) {
  const gzFile file = gzopen(path.c_str(), "wb");
  REQUIRE(gzwrite(file, text.data(), static_cast<unsigned>(text.size())) == static_cast<int>(text.size()));
  gzclose(file);
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// The message of the rondo::InputError that `work` throws, or "none". Always one line.
template <class Work>
std::string message_of(Work work) {
  try {
    work();
    return "none";
  } catch (const rondo::InputError& e) {
    REQUIRE(std::string(e.what()).find('\n') == std::string::npos);
    return e.what();
  }
}
