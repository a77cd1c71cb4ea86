#include "rondo/io/csv.hpp"

#include <fmt/ranges.h>
#include <zlib.h>

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <set>

#include "rondo/core/config.hpp"
#include "rondo/core/error.hpp"
#include "rondo/io/printable.hpp"

namespace rondo {
namespace {
constexpr std::size_t kBufferBytes = 1 << 16;
constexpr std::size_t kRecordBytes = 1 << 20;  // a larger one is a quote that was never closed
}  // namespace

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

CsvReader::CsvReader(std::string path) : path_(std::move(path)), buffer_(kBufferBytes) {
  file_ = gzopen(path_.c_str(), "rb");
  if (file_ == nullptr)
    input_error("{}: cannot be opened: {}; expected a CSV file", path_,
                std::strerror(errno != 0 ? errno : ENOMEM));
  try {
    peek();  // fills the buffer
    if (filled_ >= 3 && std::memcmp(buffer_.data(), "\xEF\xBB\xBF", 3) == 0) position_ = 3;
    if (!read_record()) fail("is empty; expected a header line with the names of the columns");
    std::set<std::string> seen;
    for (std::size_t i = 0; i < ends_.size(); ++i) {
      header_.emplace_back(trimmed(field(i)));
      if (!seen.insert(header_.back()).second)
        input_error("{}:1: the header names column \"{}\" twice; rename one", path_,
                    printable(header_.back()));
    }
  } catch (...) {
    gzclose_r(file_);
    throw;
  }
}

CsvReader::~CsvReader() { gzclose_r(file_); }

void CsvReader::fail(std::string_view what) const { input_error("{}:{}: {}", path_, next_line_, what); }

void CsvReader::refuse(std::size_t column, std::string_view why) const {
  input_error("{}:{}: column {}: \"{}\" {}", path_, line_, printable(header_[column]),
              printable(field(column), 40), why);
}

bool CsvReader::fill() {
  const int got = gzread(file_, buffer_.data(), static_cast<unsigned>(buffer_.size()));
  int code = Z_OK;
  const char* text = gzerror(file_, &code);
  // A truncated gzip stream ends with Z_BUF_ERROR after its last good bytes.
  if (got < 0 || (code != Z_OK && code != Z_STREAM_END)) {
    if (code == Z_ERRNO) fail(fmt::format("cannot be read: {}", std::strerror(errno)));
    fail(fmt::format("the gzip data is truncated or damaged ({}); get the file again", printable(text)));
  }
  position_ = 0;
  filled_ = static_cast<std::size_t>(got);
  if (std::memchr(buffer_.data(), 0, filled_) != nullptr)
    fail("contains NUL bytes at or after this line: is it a binary or UTF-16 file? Expected UTF-8 text");
  return filled_ > 0;
}

int CsvReader::take() {
  const int c = peek();
  if (c == kEnd) return kEnd;
  ++position_;
  if (c == '\n') ++next_line_;
  if (record_.size() + ends_.size() > kRecordBytes)
    input_error("{}:{}: the record is longer than {} bytes: is a quote not closed?", path_, line_,
                kRecordBytes);
  return c;
}

// After an opening quote: everything up to the closing one, which must end the field.
void CsvReader::read_quoted() {
  for (;;) {
    const int c = take();
    if (c == kEnd) input_error("{}:{}: a quoted field in this record is never closed", path_, line_);
    if (c != '"') {
      record_ += static_cast<char>(c);
    } else if (peek() == '"') {
      record_ += static_cast<char>(take());
    } else {
      const int after = peek();
      if (after != ',' && after != '\n' && after != '\r' && after != kEnd)
        fail("text follows a closing quote; write quotes inside a quoted field twice");
      return;
    }
  }
}

bool CsvReader::read_record() {
  record_.clear();
  ends_.clear();
  line_ = next_line_;
  bool any = false;
  for (bool field_start = true;;) {
    int c = take();
    if (c == kEnd && !any) return false;
    any = true;
    if (c == '\r') {
      if (peek() != '\n' && peek() != kEnd)
        fail("a carriage return without line feed; expected lines ending in LF or CRLF");
      c = take();
    }
    if (c == ',' || c == '\n' || c == kEnd) {
      ends_.push_back(record_.size());
      if (c != ',') return true;
      field_start = true;
    } else if (c == '"') {
      if (!field_start) fail("a quote inside a field that does not start with one; quote the whole field");
      read_quoted();
      field_start = false;
    } else {
      record_ += static_cast<char>(c);
      field_start = false;
    }
  }
}

bool CsvReader::next() {
  do {
    if (!read_record()) return false;
  } while (ends_.size() == 1 && record_.empty() && header_.size() > 1);
  if (ends_.size() != header_.size())
    input_error("{}:{}: {} fields, but the header has {}; is a comma or a quote missing?", path_, line_,
                ends_.size(), header_.size());
  return true;
}

std::string_view CsvReader::field(std::size_t column) const {
  const std::size_t begin = column == 0 ? 0 : ends_[column - 1];
  return std::string_view(record_).substr(begin, ends_[column] - begin);
}

std::size_t CsvReader::column(const std::string& name) const {
  for (std::size_t i = 0; i < header_.size(); ++i)
    if (header_[i] == name) return i;
  const std::string near = nearest(name, header_);
  const bool other = header_.size() == 1 && header_[0].find_first_of(";\t") != std::string::npos;
  input_error("{}:1: no column {}{}", path_, name,
              other ? std::string("; the header has no comma: separate columns by commas")
              : near.empty()
                  ? fmt::format("; the header has {}", printable(fmt::format("{}", fmt::join(header_, ", "))))
                  : fmt::format("; did you mean {}?", printable(near)));
}

double CsvReader::number(std::size_t column) const {
  std::string_view text = trimmed(field(column));
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::invalid_argument || end != text.data() + text.size())
    refuse(column, "is not a number; expected one such as 12.5 or -3e4");
  if (error == std::errc::result_out_of_range || !std::isfinite(value))
    refuse(column, "is not a finite number; expected one within 1e-307 to 1e308");
  return value;
}

}  // namespace rondo
