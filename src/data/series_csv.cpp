#include <algorithm>
#include <cctype>

#include "rondo/core/error.hpp"
#include "rondo/io/csv.hpp"
#include "series_source.hpp"

namespace rondo {
namespace {

bool is_missing(std::string_view text) {
  text = trimmed(text);
  return text.empty() || text == "NA" || text == "NaN" || text == "nan";
}

/// Checks that times advance by one constant step.
class Clock {
 public:
  void advance(const CsvReader& csv, std::size_t column, CsvImport& info) {
    const auto parsed = parse_time(trimmed(csv.field(column)));
    if (!parsed)
      csv.refuse(column, "is not a time; expected one such as 2024-01-31T13:00 or 2024-01-31 13:00:00");
    const std::int64_t now = *parsed;
    if (info.rows == 0) info.start = now;
    if (info.rows == 1) info.step = now - last_;
    if (info.rows >= 1 && (info.step <= 0 || now != last_ + info.step)) refuse(csv, column, now, info.step);
    last_ = now;
    ++info.rows;
  }

 private:
  [[noreturn]] void refuse(const CsvReader& csv, std::size_t column, std::int64_t now,
                           std::int64_t step) const {
    const char* what = now == last_  ? "is a duplicate: repeats the time"
                       : now < last_ ? "goes backwards: comes after"
                                     : "breaks the constant step: comes after";
    const std::string expected =
        step > 0 ? fmt::format(
                       "; expected {} (step {} s{})", format_time(last_ + step), step,
                       now > last_ + step ? fmt::format(", {} rows missing", (now - last_ - 1) / step) : "")
                 : std::string("; expected a later time");
    csv.refuse(column, fmt::format("{} {}{}", what, format_time(last_), expected));
  }

  std::int64_t last_ = 0;
};

/// Passes a column on, with runs of missing values replaced by a straight line between their neighbours
/// (at the ends by the nearest value). A run is only a count: it needs no memory.
class GapFiller {
 public:
  explicit GapFiller(std::function<void(double)> put) : put_(std::move(put)) {}

  void missing() { ++gap_; }
  void value(double next) {
    for (std::int64_t i = 1; i <= gap_; ++i) {
      const double share = static_cast<double>(i) / static_cast<double>(gap_ + 1);
      put_(any_ ? last_ + (next - last_) * share : next);
    }
    gap_ = 0;
    any_ = true;
    put_(last_ = next);
  }
  /// False if there was no value at all.
  bool finish() {
    for (; any_ && gap_ > 0; --gap_) put_(last_);
    return any_;
  }

 private:
  std::function<void(double)> put_;
  double last_ = 0;
  std::int64_t gap_ = 0;
  bool any_ = false;
};

class CsvSource : public Series::Source {
 public:
  CsvSource(const std::string& path, const SeriesSchema& schema) : columns_(schema.columns().size()) {
    info = import_csv(path, schema,
                      [&](std::size_t column, double value) { columns_[column].push_back(value); });
  }
  void read(std::size_t column, std::int64_t first_row, std::int64_t count, const Take& take) override {
    take(std::span(columns_[column])
             .subspan(static_cast<std::size_t>(first_row), static_cast<std::size_t>(count)));
  }

 private:
  std::vector<std::vector<double>> columns_;
};

}  // namespace

CsvImport import_csv(const std::string& csv_path, const SeriesSchema& schema,
                     const std::function<void(std::size_t, double)>& put) {
  const std::vector<SeriesSchema::Column> columns = schema.columns();
  CsvReader csv(csv_path);
  const std::size_t time_column = csv.column(schema.time);
  std::vector<std::size_t> places;
  std::vector<GapFiller> fillers;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    places.push_back(csv.column(columns[i].name));
    fillers.emplace_back([&put, i](double value) { put(i, value); });
  }

  CsvImport info;
  Clock clock;
  const bool interpolate = schema.missing == "interpolate";
  while (csv.next()) {
    clock.advance(csv, time_column, info);
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (!is_missing(csv.field(places[i]))) {
        fillers[i].value(csv.number(places[i]));
        continue;
      }
      if (!interpolate)
        csv.refuse(places[i], "is a missing value; fill it, or set data.missing = \"interpolate\"");
      fillers[i].missing();
      ++info.filled;
    }
  }
  if (info.rows < 2)
    input_error("{}:{}: has {} rows of data; a series needs at least 2", csv_path, csv.line(), info.rows);
  for (std::size_t i = 0; i < columns.size(); ++i)
    if (!fillers[i].finish())
      input_error("{}:2: column {} has no value in any row; leave it out of the [data] section", csv_path,
                  columns[i].name);
  return info;
}

std::unique_ptr<Series::Source> open_csv_source(const std::string& path, const SeriesSchema& schema) {
  return std::make_unique<CsvSource>(path, schema);
}

}  // namespace rondo
