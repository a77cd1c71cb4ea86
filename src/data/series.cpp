#include "rondo/data/series.hpp"

#include <algorithm>
#include <set>

#include "rondo/core/error.hpp"
#include "series_source.hpp"

namespace rondo {

void SeriesSchema::visit(Fields& fields) {
  fields.field("data.path", path, "", Effect::bits, "time series: .csv, .csv.gz or Rondo's .h5");
  fields.field("data.time", time, "", Effect::bits, "CSV column of times such as 2024-01-31T13:00");
  fields.field("data.target", target, "", Effect::bits, "column to forecast");
  fields.field("data.known", known, Effect::bits, "columns known ahead of time, e.g. a tariff or a holiday");
  fields.field("data.observed", observed, Effect::bits,
               "columns known only up to now, e.g. a measured temperature");
  fields.field("data.missing", missing, "error|interpolate", Effect::bits,
               "what to do with missing values in CSV");
}

std::vector<SeriesSchema::Column> SeriesSchema::columns() const {
  if (target.empty())
    input_error("data.target is not set; name the column to forecast, e.g. data.target = \"demand\"");
  std::vector<Column> all{{target, "target"}};
  for (const std::string& name : known) all.push_back({name, "known"});
  for (const std::string& name : observed) all.push_back({name, "observed"});
  std::set<std::string> seen{time};
  for (const Column& column : all)
    if (!seen.insert(column.name).second)
      input_error("[data] names column {} twice; it must be only one of time, target, known and observed",
                  column.name);
  return all;
}

Series::Series(std::vector<SeriesSchema::Column> columns, std::unique_ptr<Source> source)
    : columns_(std::move(columns)), source_(std::move(source)) {}
Series::~Series() = default;
Series::Series(Series&&) noexcept = default;

Series Series::open(const std::string& path, const SeriesSchema& schema) {
  const bool hdf5 = path.ends_with(".h5") || path.ends_with(".hdf5");
  return Series(schema.columns(), hdf5 ? open_hdf5_source(path, schema) : open_csv_source(path, schema));
}

std::int64_t Series::rows() const { return source_->info.rows; }
std::int64_t Series::start() const { return source_->info.start; }
std::int64_t Series::step_seconds() const { return source_->info.step; }
std::int64_t Series::filled() const { return source_->info.filled; }
const std::vector<SeriesSchema::Column>& Series::columns() const { return columns_; }

std::size_t Series::column_index(const std::string& name) const {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    if (columns_[i].name == name) return i;
    names.push_back(columns_[i].name);
  }
  const std::string near = nearest(name, names);
  input_error("no column {} among those of the [data] section{}", name,
              near.empty() ? "" : fmt::format("; did you mean {}?", near));
}

namespace {

template <class T>
void copy_rows(Series::Source& source, std::size_t columns, std::size_t column, std::int64_t first_row,
               std::span<T> out) {
  const auto count = static_cast<std::int64_t>(out.size());
  RONDO_CHECK(column < columns && first_row >= 0 && first_row <= source.info.rows - count,
              "column {} of {}, rows {} to {} of {} were asked for", column, columns, first_row,
              first_row + count, source.info.rows);
  T* to = out.data();
  source.read(column, first_row, count, [&](std::span<const double> piece) {
    to = std::transform(piece.begin(), piece.end(), to, [](double value) { return static_cast<T>(value); });
  });
}

}  // namespace

void Series::read(std::size_t column, std::int64_t first_row, std::span<double> out) const {
  copy_rows(*source_, columns_.size(), column, first_row, out);
}
void Series::read(std::size_t column, std::int64_t first_row, std::span<float> out) const {
  copy_rows(*source_, columns_.size(), column, first_row, out);
}

}  // namespace rondo
