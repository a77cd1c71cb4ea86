/// Reading CSV files (RFC 4180), plain or gzip-compressed, record by record in bounded memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

struct gzFile_s;

namespace rondo {

/// A CSV file with a header line. Comma-separated; fields may be quoted and then contain commas, doubled
/// quotes and line ends; lines end in LF or CRLF; a UTF-8 byte order mark is skipped, and so are blank
/// lines. Every error is an InputError "file:line: ..." in one line.
class CsvReader {
 public:
  /// Opens the file (gzip is recognised by its first bytes) and reads the header.
  explicit CsvReader(std::string path);
  ~CsvReader();
  CsvReader(const CsvReader&) = delete;
  CsvReader& operator=(const CsvReader&) = delete;

  const std::vector<std::string>& header() const { return header_; }
  /// Where a column is; an error with the nearest name if the header lacks it.
  std::size_t column(const std::string& name) const;

  /// Reads the next record; false at the end of the file. Records have as many fields as the header.
  bool next();
  /// A field of the current record, valid until next().
  std::string_view field(std::size_t column) const;
  /// The line on which the current record starts; the header is line 1.
  std::int64_t line() const { return line_; }
  /// The field as a finite number, blanks around it ignored.
  double number(std::size_t column) const;
  /// Throws: `file:line: column name: "field" <why>`, e.g. why = "is not a number; expected ...".
  [[noreturn]] void refuse(std::size_t column, std::string_view why) const;

 private:
  static constexpr int kEnd = -1;
  int peek() { return position_ < filled_ || fill() ? buffer_[position_] : kEnd; }
  int take();
  bool fill();
  bool read_record();
  void read_quoted();
  [[noreturn]] void fail(std::string_view what) const;

  std::string path_;
  gzFile_s* file_ = nullptr;
  std::vector<unsigned char> buffer_;
  std::size_t position_ = 0, filled_ = 0;
  std::vector<std::string> header_;
  std::string record_;             // the fields of the record, one after another, without quotes
  std::vector<std::size_t> ends_;  // where each field ends in record_
  std::int64_t line_ = 0, next_line_ = 1;
};

/// `text` without blanks and tabs at its ends.
std::string_view trimmed(std::string_view text);

}  // namespace rondo
