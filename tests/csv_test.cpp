// CSV files, plain and gzipped: the fields of RFC 4180, and one clear line for each thing that can be wrong.
#include "rondo/io/csv.hpp"

#include "io_testing.hpp"

using namespace rondo;
namespace fs = std::filesystem;

namespace {

std::vector<std::vector<std::string>> records_of(const std::string& path) {
  CsvReader csv(path);
  std::vector<std::vector<std::string>> records;
  while (csv.next()) {
    records.emplace_back();
    for (std::size_t i = 0; i < csv.header().size(); ++i) records.back().emplace_back(csv.field(i));
  }
  return records;
}

/// Text that compresses to some ten kilobytes.
std::string many_lines() {
  std::string text = "n,square\n";
  for (long i = 0; i < 5000; ++i) text += fmt::format("{},{}\n", i, i * i);
  return text;
}

}  // namespace

TEST_CASE("CSV fields are those of RFC 4180, plain or gzipped") {
  const TemporaryFolder folder;
  const std::string text =
      "\xEF\xBB\xBF"
      "a,b, c \r\n1,\"x,\"\"y\"\"\r\nz\",\r\n\r\n\"\",2,größer";
  const std::vector<std::vector<std::string>> expected{{"1", "x,\"y\"\r\nz", ""}, {"", "2", "größer"}};
  write_text(folder / "a.csv", text);
  write_gzip(folder / "a.csv.gz", text);
  CHECK(records_of(folder / "a.csv") == expected);
  CHECK(records_of(folder / "a.csv.gz") == expected);
  CsvReader csv(folder / "a.csv");
  CHECK(csv.header() == std::vector<std::string>{"a", "b", "c"});
  REQUIRE(csv.next());
  CHECK(csv.line() == 2);
  REQUIRE(csv.next());
  CHECK(csv.line() == 5);  // after a field over two lines and a blank line

  std::string large = "n,twice\n";
  for (int i = 0; i < 50'000; ++i) large += fmt::format("{},{}\n", i, 2 * i);
  write_gzip(folder / "large.csv.gz", large);
  CsvReader many(folder / "large.csv.gz");
  double sum = 0;
  while (many.next()) sum += many.number(1) - 2 * many.number(0);
  CHECK(sum == 0);
  CHECK(many.line() == 50'002);
}

TEST_CASE("CSV errors name file and line") {
  const TemporaryFolder folder;
  const std::string path = folder / "data.csv";
  const auto fails = [&](std::string_view text, const std::string& expected, bool gzip = false) {
    (gzip ? write_gzip : write_text)(path, text);
    const std::string message = message_of([&] {
      CsvReader csv(path);
      const std::size_t b = csv.column("b");
      while (csv.next()) csv.number(b);
    });
    INFO(message);
    CHECK(message.find(path) == 0);
    CHECK(contains(message, expected));
  };
  using namespace std::string_view_literals;
  fails("", ":1: is empty");
  fails("a,b\n1,2\n1,abc\n", ":3: column b: \"abc\" is not a number; expected");
  fails("a,b\n1,1.5x\n", ":2: column b: \"1.5x\" is not a number");
  fails("a,b\n1,\n", ":2: column b: \"\" is not a number");
  fails("a,b\n1,inf\n", ":2: column b: \"inf\" is not a finite number");
  fails("a,b\n1,1e999\n", ":2: column b: \"1e999\" is not a finite number");
  fails("a,b\n1,2\n1,2,3\n", ":3: 3 fields, but the header has 2");
  fails("a,b\n1,2\n\n1\n", ":4: 1 fields, but the header has 2");
  fails("a,b,a\n1,2,3\n", "the header names column \"a\" twice");
  fails("first,second\n1,2\n", ":1: no column b; the header has first, second");
  fails("a;b\n1;2\n", ":1: no column b; the header has no comma");
  fails("a,b\n1,\"2\n3,4\n", ":2: a quoted field in this record is never closed");
  fails("a,b\n1,\"2\"x\n", ":2: text follows a closing quote");
  fails("a,b\n1,2\"x\"\n", ":2: a quote inside a field");
  fails("a,b\r1,2\r", ":1: a carriage return without line feed");
  fails("a,b\n1,\0\n"sv, "contains NUL bytes");
  fails(
      "\xFF\xFE"
      "a\0,\0b\0"sv,
      "UTF-16 file?");
  fails("a,b\n1,\"" + std::string(3 << 20, 'x'), ":2: the record is longer than");
  fails("a,b\n1,\xB0\x1B[31m\n", ":2: column b: \"??[31m\" is not a number");  // no escapes on the terminal
  fails("a,b\n1,2\n1,abc\n", ":3: column b: \"abc\" is not a number", true);
  CHECK(contains(message_of([&] { CsvReader(folder / "none.csv"); }),
                 "none.csv: cannot be opened: No such file"));
  CHECK(contains(message_of([&] { CsvReader{folder.path}; }), "cannot be read: Is a directory"));

  write_gzip(path, many_lines());
  const auto size = fs::file_size(path);
  fs::resize_file(path, size / 2);
  CHECK(contains(message_of([&] { records_of(path); }), "the gzip data is truncated or damaged"));
  write_gzip(path, many_lines());
  std::fstream(path, std::ios::in | std::ios::out | std::ios::binary)
      .seekp(static_cast<long>(size / 2))
      .write("????", 4);
  CHECK(message_of([&] { records_of(path); }) != "none");
}
