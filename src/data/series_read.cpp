#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <mutex>

#include "rondo/core/error.hpp"
#include "rondo/io/hdf5.hpp"
#include "rondo/io/printable.hpp"
#include "series_source.hpp"

namespace rondo {
namespace {

using namespace series_format;

constexpr std::size_t kCacheBytes = 64 * kChunk * sizeof(double);
constexpr std::int64_t kLargestChunk = 1 << 20;  // values: one chunk is the least that can be read

class Hdf5Source : public Series::Source {
 public:
  Hdf5Source(const std::string& path, const SeriesSchema& schema) : path_(path) {
    const auto lock = hdf5_lock();
    file_ = open_hdf5(path);
    check_attributes();
    for (const SeriesSchema::Column& column : schema.columns()) open_column(column);
    check_times();
  }

  void read(std::size_t column, std::int64_t first_row, std::int64_t count, const Take& take) override {
    const std::lock_guard lock(mutex_);
    for (std::int64_t row = first_row, end = first_row + count; row < end;) {
      const std::int64_t length = columns_[column].block;
      const Block& block = fetch(column, row / length);
      const std::int64_t offset = row - block.number * length;
      const auto n = std::min(end - row, static_cast<std::int64_t>(block.values.size()) - offset);
      take(std::span(block.values).subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(n)));
      row += n;
    }
  }

 private:
  struct Column {
    std::string name;
    H5Handle set;
    std::int64_t block;  // rows read at once: whole chunks of the file
  };
  struct Block {
    std::size_t column;
    std::int64_t number;
    std::uint64_t used;
    std::vector<double> values;
  };

  std::int64_t integer(const std::string& name) const {
    const auto value = read_attribute(file_, name, path_);
    if (!value || !std::holds_alternative<std::int64_t>(*value))
      input_error("{}: attribute {} is missing or no integer; expected a rondo-series file", path_, name);
    return std::get<std::int64_t>(*value);
  }

  void check_attributes() {
    const auto format = read_attribute(file_, "format", path_);
    if (!format || *format != Scalar(kFormat))
      input_error("{}: is no rondo-series file (attribute format is not \"{}\"); import it from CSV", path_,
                  kFormat);
    if (const auto version = integer("format_version"); version != kVersion)
      input_error("{}: has rondo-series version {}, but this program reads version {}; import it again",
                  path_, version, kVersion);
    info.start = integer("start");
    info.step = integer("step");
  }

  void check_times() const {
    static const std::int64_t first = seconds_of(0, 1, 1), last = seconds_of(10000, 1, 1);
    if (info.start < first || info.start >= last || info.step <= 0 ||
        info.step > (last - info.start) / info.rows)
      input_error("{}: start {} and step {} are no times in the years 0 to 9999; import it again", path_,
                  info.start, info.step);
  }

  void open_column(const SeriesSchema::Column& wanted) {
    const std::string full = kColumns + "/" + wanted.name;
    if (H5Lexists(file_, kColumns.c_str(), H5P_DEFAULT) <= 0 ||
        H5Lexists(file_, full.c_str(), H5P_DEFAULT) <= 0)
      input_error("{}: no column {}{}", path_, wanted.name, suggestion(wanted.name));
    // HDF5's own cache would come on top of ours: 1 MiB for each column.
    const H5Handle access(H5Pcreate(H5P_DATASET_ACCESS), "{}: no access list", path_);
    hdf5_check(H5Pset_chunk_cache(access, 0, 0, 0), "{}: cache cannot be turned off", path_);
    Column column{
        wanted.name,
        H5Handle(H5Dopen2(file_, full.c_str(), access),
                 "{}: column {}: cannot be opened; the file is damaged, import it again", path_, wanted.name),
        kChunk};
    check_role(column.set, wanted);
    check_shape(column);
    columns_.push_back(std::move(column));
  }

  std::string suggestion(const std::string& name) const {
    std::vector<std::string> names;
    if (H5Lexists(file_, kColumns.c_str(), H5P_DEFAULT) > 0) {
      const H5Handle group(H5Gopen2(file_, kColumns.c_str(), H5P_DEFAULT), "{}: no columns", path_);
      names = hdf5_children(group, path_);
    }
    const std::string near = nearest(name, names);
    return near.empty()
               ? fmt::format("; the file has {}", printable(fmt::format("{}", fmt::join(names, ", "))))
               : fmt::format("; did you mean {}?", printable(near));
  }

  void check_role(hid_t set, const SeriesSchema::Column& wanted) const {
    const auto role = read_attribute(set, "role", path_);
    if (role && *role == Scalar(wanted.role)) return;
    const std::string has = role && std::holds_alternative<std::string>(*role) ? std::get<std::string>(*role)
                                                                               : std::string("nothing");
    input_error(
        "{}: column {}: is recorded as {}, but [data] lists it as {}; change [data] or import it again",
        path_, wanted.name, printable(has), wanted.role);
  }

  void check_shape(Column& column) {
    const H5Handle space(H5Dget_space(column.set), "{}: column {}: no shape", path_, column.name);
    const H5Handle type(H5Dget_type(column.set), "{}: column {}: no type", path_, column.name);
    if (H5Sget_simple_extent_ndims(space) != 1 || H5Tequal(type, H5T_NATIVE_DOUBLE) <= 0)
      input_error("{}: column {}: expected a one-dimensional float64 dataset; import it again", path_,
                  column.name);
    const std::int64_t rows = H5Sget_simple_extent_npoints(space);
    if (columns_.empty()) {
      info.rows = rows;
      if (rows < 2) input_error("{}: has {} rows of data; a series needs at least 2", path_, rows);
    }
    if (rows != info.rows)
      input_error("{}: column {}: has {} rows, but column {} has {}; import it again", path_, column.name,
                  rows, columns_[0].name, info.rows);
    const H5Handle list(H5Dget_create_plist(column.set), "{}: column {}: no layout", path_, column.name);
    if (H5Pget_layout(list) != H5D_CHUNKED) return;
    hsize_t chunk = 0;
    hdf5_check(H5Pget_chunk(list, 1, &chunk), "{}: column {}: no chunks", path_, column.name);
    if (chunk > kLargestChunk)
      input_error(
          "{}: column {}: chunks of {} values are too large to read in bounded memory; rewrite the file with "
          "h5repack -l CHUNK={}",
          path_, column.name, chunk, kChunk);
    const auto values = static_cast<std::int64_t>(chunk);
    column.block = values * std::max<std::int64_t>(1, kChunk / values);
  }

  /// A block from the cache, read if it is not there. Valid until the next call.
  const Block& fetch(std::size_t column, std::int64_t number) {
    for (Block& block : blocks_) {
      if (block.column != column || block.number != number) continue;
      block.used = ++tick_;
      return block;
    }
    Block fresh{column, number, ++tick_, load(columns_[column], number)};
    cached_bytes_ += fresh.values.size() * sizeof(double);
    while (cached_bytes_ > kCacheBytes && !blocks_.empty()) {
      const auto oldest = std::ranges::min_element(blocks_, {}, &Block::used);
      cached_bytes_ -= oldest->values.size() * sizeof(double);
      std::swap(*oldest, blocks_.back());
      blocks_.pop_back();
    }
    return blocks_.emplace_back(std::move(fresh));
  }

  std::vector<double> load(const Column& column, std::int64_t number) const {
    const auto lock = hdf5_lock();
    const std::int64_t first = number * column.block;
    std::vector<double> values(static_cast<std::size_t>(std::min(column.block, info.rows - first)));
    const hsize_t offset = static_cast<hsize_t>(first), count = values.size();
    const H5Handle in_file(H5Dget_space(column.set), "{}: no dataspace", path_);
    const H5Handle in_memory(H5Screate_simple(1, &count, nullptr), "{}: no dataspace", path_);
    hdf5_check(H5Sselect_hyperslab(in_file, H5S_SELECT_SET, &offset, nullptr, &count, nullptr),
               "{}: no row {}", path_, first);
    hdf5_check(H5Dread(column.set, H5T_NATIVE_DOUBLE, in_memory, in_file, H5P_DEFAULT, values.data()),
               "{}: column {}: rows {} to {} cannot be read, the file is damaged; import it again", path_,
               column.name, first, first + static_cast<std::int64_t>(count) - 1);
    const auto bad = std::ranges::find_if(values, [](double value) { return !std::isfinite(value); });
    if (bad != values.end())
      input_error(
          "{}: column {}: row {} ({}) is {}; expected finite numbers: import it again with data.missing = "
          "\"interpolate\"",
          path_, column.name, first + (bad - values.begin()),
          format_time(info.start + (first + (bad - values.begin())) * info.step), *bad);
    return values;
  }

  const std::string path_;
  H5Handle file_;
  std::vector<Column> columns_;
  std::mutex mutex_;  // guards what follows
  std::vector<Block> blocks_;
  std::size_t cached_bytes_ = 0;
  std::uint64_t tick_ = 0;
};

}  // namespace

std::unique_ptr<Series::Source> open_hdf5_source(const std::string& path, const SeriesSchema& schema) {
  return std::make_unique<Hdf5Source>(path, schema);
}

}  // namespace rondo
