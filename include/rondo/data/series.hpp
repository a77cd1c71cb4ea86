/// Regular time series of many columns, from CSV or from Rondo's own HDF5 layout.
///
/// HDF5 layout, "rondo-series" version 1:
///   /            attributes `format` = "rondo-series", `format_version` = 1, `start` and `step` (int64
///                seconds; start counts from 1970-01-01T00:00 in the data's own clock)
///   /columns/<name>  one-dimensional float64, all of one length, no NaN; attribute `role` = "target",
///                "known" (known ahead of time: calendar, tariffs, forecasts) or "observed"
/// Rondo writes chunks of 16,384 values with HDF5's Fletcher-32 checksums, uncompressed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rondo/core/config.hpp"

namespace rondo {

/// A point of the civil calendar (proleptic Gregorian, no time zone, no leap seconds).
struct CivilTime {
  int year = 1970;
  int month = 1, day = 1;  ///< 1 to 12, 1 to 31
  int hour = 0, minute = 0, second = 0;
  int weekday = 3;      ///< 0 = Monday to 6 = Sunday
  int day_of_year = 1;  ///< 1 to 366
};
CivilTime civil_time(std::int64_t seconds);
std::int64_t seconds_of(int year, int month, int day, int hour = 0, int minute = 0, int second = 0);
/// "YYYY-MM-DDTHH:MM[:SS]", also with a space for the T or with a Z behind; nothing if it is no such time.
std::optional<std::int64_t> parse_time(std::string_view text);
std::string format_time(std::int64_t seconds);  ///< "YYYY-MM-DDTHH:MM:SS"

/// Which columns a task uses, and what for: the section [data] of a configuration.
struct SeriesSchema {
  std::string path;
  std::string time = "time";
  std::string target;
  std::vector<std::string> known, observed;
  std::string missing = "error";

  void visit(Fields& fields);

  struct Column {
    std::string name, role;
  };
  /// Target, known and observed columns in this order: the order in which Series numbers them. InputError
  /// if the target is not set or a name appears twice.
  std::vector<Column> columns() const;
};

/// Reads a CSV file in one pass and bounded memory. `put(column, value)` gets each column's values in the
/// order of rows; a column with missing values may run behind the others. Any problem is an InputError
/// with file and line.
struct CsvImport {
  std::int64_t rows = 0, start = 0, step = 0;
  std::int64_t filled = 0;  ///< missing values that were interpolated
};
CsvImport import_csv(const std::string& csv_path, const SeriesSchema& schema,
                     const std::function<void(std::size_t column, double value)>& put);

/// Converts a CSV file to the layout above in bounded memory; `path` appears only when it is complete.
CsvImport write_series_hdf5(const std::string& path, const std::string& csv_path, const SeriesSchema& schema);

/// An open series. Thread-safe. HDF5 files are read chunk by chunk through a cache of 8 MiB over all
/// columns; CSV files (.csv, .csv.gz) are held in memory.
class Series {
 public:
  /// Opens `path` by its ending: ".h5"/".hdf5", else CSV. Throws InputError for whatever is wrong with it.
  static Series open(const std::string& path, const SeriesSchema& schema);
  ~Series();
  Series(Series&&) noexcept;

  std::int64_t rows() const;
  std::int64_t start() const;         ///< time of row 0 in seconds
  std::int64_t step_seconds() const;  ///< time from row to row
  std::int64_t time(std::int64_t row) const { return start() + row * step_seconds(); }
  std::int64_t filled() const;  ///< missing values that were interpolated on the way in
  const std::vector<SeriesSchema::Column>& columns() const;
  std::size_t column_index(const std::string& name) const;

  /// Copies rows first_row to first_row + out.size() - 1, which must exist. InputError if the file turns
  /// out to be damaged or holds NaN there.
  void read(std::size_t column, std::int64_t first_row, std::span<double> out) const;
  void read(std::size_t column, std::int64_t first_row, std::span<float> out) const;

  class Source;  ///< where the values come from; defined in src/data

 private:
  Series(std::vector<SeriesSchema::Column> columns, std::unique_ptr<Source> source);
  std::vector<SeriesSchema::Column> columns_;
  std::unique_ptr<Source> source_;
};

}  // namespace rondo
