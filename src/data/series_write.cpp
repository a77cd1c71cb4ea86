#include <unistd.h>

#include "rondo/core/error.hpp"
#include "rondo/io/durable.hpp"
#include "rondo/io/hdf5.hpp"
#include "series_source.hpp"

namespace rondo {
namespace {

using namespace series_format;

/// Appends values to the datasets of a new file, a chunk at a time.
class SeriesWriter {
 public:
  SeriesWriter(const std::string& file_name, const std::string& path,
               const std::vector<SeriesSchema::Column>& columns)
      : path_(path) {
    const auto lock = hdf5_lock();
    file_ = H5Handle(H5Fcreate(file_name.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT),
                     "{}: cannot be created", path);
    const H5Handle group(H5Gcreate2(file_, kColumns.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                         "{}: cannot be written", path);
    const H5Handle list(H5Pcreate(H5P_DATASET_CREATE), "{}: no creation list", path);
    const hsize_t chunk = kChunk, none = 0, unlimited = H5S_UNLIMITED;
    hdf5_check(H5Pset_chunk(list, 1, &chunk), "{}: no chunks", path);
    hdf5_check(H5Pset_fletcher32(list), "{}: no checksums", path);
    const H5Handle space(H5Screate_simple(1, &none, &unlimited), "{}: no dataspace", path);
    for (const auto& [name, role] : columns) {
      if (name.find('/') != std::string::npos || name == ".")
        input_error("{}: column {}: HDF5 names cannot contain '/' or be '.'; rename it", path, name);
      Column column;
      column.set =
          H5Handle(H5Dcreate2(group, name.c_str(), H5T_NATIVE_DOUBLE, space, H5P_DEFAULT, list, H5P_DEFAULT),
                   "{}: column {} cannot be created", path, name);
      write_attribute(column.set, "role", role, path);
      columns_.push_back(std::move(column));
    }
  }

  void put(std::size_t index, double value) {
    Column& column = columns_[index];
    column.pending.push_back(value);
    if (column.pending.size() == kChunk) flush(column);
  }

  void finish(const CsvImport& info) {
    const auto lock = hdf5_lock();
    for (Column& column : columns_) flush(column);
    write_attribute(file_, "format", kFormat, path_);
    write_attribute(file_, "format_version", kVersion, path_);
    write_attribute(file_, "start", info.start, path_);
    write_attribute(file_, "step", info.step, path_);
    hdf5_check(H5Fflush(file_, H5F_SCOPE_GLOBAL), "{}: cannot be completed", path_);
  }

 private:
  struct Column {
    H5Handle set;
    std::vector<double> pending;
    hsize_t written = 0;
  };

  void flush(Column& column) {
    if (column.pending.empty()) return;
    const auto lock = hdf5_lock();
    const hsize_t count = column.pending.size(), total = column.written + count;
    hdf5_check(H5Dset_extent(column.set, &total), "{}: cannot grow", path_);
    const H5Handle in_file(H5Dget_space(column.set), "{}: no dataspace", path_);
    const H5Handle in_memory(H5Screate_simple(1, &count, nullptr), "{}: no dataspace", path_);
    hdf5_check(H5Sselect_hyperslab(in_file, H5S_SELECT_SET, &column.written, nullptr, &count, nullptr),
               "{}: no place for row {}", path_, column.written);
    hdf5_check(
        H5Dwrite(column.set, H5T_NATIVE_DOUBLE, in_memory, in_file, H5P_DEFAULT, column.pending.data()),
        "{}: writing stopped at row {}; free space there or choose another folder", path_, column.written);
    column.written = total;
    column.pending.clear();
  }

  std::string path_;
  H5Handle file_;
  std::vector<Column> columns_;
};

}  // namespace

CsvImport write_series_hdf5(const std::string& path, const std::string& csv_path,
                            const SeriesSchema& schema) {
  const std::string temporary = temporary_path(path, "import");
  try {
    CsvImport info;
    {
      SeriesWriter writer(temporary, path, schema.columns());
      info =
          import_csv(csv_path, schema, [&](std::size_t column, double value) { writer.put(column, value); });
      writer.finish(info);
    }
    publish(temporary, path);
    return info;
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

}  // namespace rondo
