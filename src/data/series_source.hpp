/// The two kinds of storage behind a Series.
#pragma once

#include <functional>

#include "rondo/data/series.hpp"

namespace rondo {

class Series::Source {
 public:
  /// Takes consecutive pieces of what was asked for, in order.
  using Take = std::function<void(std::span<const double>)>;

  virtual ~Source() = default;
  virtual void read(std::size_t column, std::int64_t first_row, std::int64_t count, const Take& take) = 0;

  CsvImport info;
};

std::unique_ptr<Series::Source> open_csv_source(const std::string& path, const SeriesSchema& schema);
std::unique_ptr<Series::Source> open_hdf5_source(const std::string& path, const SeriesSchema& schema);

namespace series_format {
inline const std::string kFormat = "rondo-series";
inline constexpr std::int64_t kVersion = 1;
inline const std::string kColumns = "columns";
inline constexpr std::int64_t kChunk = 16384;  // values: 128 KiB
}  // namespace series_format

}  // namespace rondo
