#include "predict.hpp"

#include <fmt/ranges.h>

#include "rondo/core/error.hpp"
#include "rondo/io/durable.hpp"
#include "rondo/io/hdf5.hpp"

namespace rondo::energy {
namespace {

struct Table {
  std::vector<std::int64_t> time;
  std::vector<double> quantile[3];
};

constexpr const char* kNames[3] = {"q10", "q50", "q90"};

void write_csv(const std::string& path, const Table& table, const std::string& target,
               const std::string& unit) {
  std::string text = "time";
  for (const char* name : kNames)
    text += fmt::format(",{}_{}{}", target, name, unit.empty() ? "" : " (" + unit + ")");
  text += "\n";
  for (std::size_t i = 0; i < table.time.size(); ++i)
    text += fmt::format("{},{:.6g},{:.6g},{:.6g}\n", format_time(table.time[i]), table.quantile[0][i],
                        table.quantile[1][i], table.quantile[2][i]);
  write_file_durably(path, std::as_bytes(std::span(text)), "predict");
}

void write_column(hid_t file, const std::string& path, const std::string& name, hid_t type, const void* data,
                  std::size_t n, const std::string& unit) {
  const hsize_t size = n;
  const H5Handle space(H5Screate_simple(1, &size, nullptr), "{}: no dataspace", path);
  const H5Handle column(H5Dcreate2(file, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                        "{}: column {} cannot be created", path, name);
  hdf5_check(H5Dwrite(column, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data), "{}: column {} cannot be written",
             path, name);
  write_attribute(column, "unit", Scalar(unit), path);
}

void write_hdf5(const std::string& path, const Table& table, const std::string& target,
                const std::string& unit) {
  const std::string temporary = temporary_path(path, "predict");
  const auto lock = hdf5_lock();
  {
    const H5Handle file(H5Fcreate(temporary.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT),
                        "{}: cannot be created", path);
    write_attribute(file, "format", Scalar(std::string("rondo-forecast")), path);
    write_attribute(file, "format_version", Scalar(std::int64_t{1}), path);
    write_column(file, path, "time", H5T_NATIVE_INT64, table.time.data(), table.time.size(),
                 "seconds since 1970-01-01T00:00 in the data's own clock");
    for (std::size_t q = 0; q < 3; ++q)
      write_column(file, path, target + "_" + kNames[q], H5T_NATIVE_DOUBLE, table.quantile[q].data(),
                   table.quantile[q].size(), unit);
  }
  publish(temporary, path);
}

}  // namespace

void write_forecast(const Trained& trained, const std::string& input, const std::string& output,
                    const Task::Run& run) {
  SeriesSchema schema = trained.schema;
  schema.path = input;
  schema.missing = "interpolate";  // the target of the rows to forecast may be empty
  const Series series = Series::open(input, schema);
  const Options& options = trained.options;
  const std::int64_t origin = schema.known.empty() ? series.rows() : series.rows() - options.horizon;
  if (origin < options.history)
    input_error("{}: {} rows are too few: expected {} of the past{}", input, series.rows(), options.history,
                schema.known.empty()
                    ? std::string()
                    : fmt::format(" and {} ahead with {}", options.horizon, fmt::join(schema.known, ", ")));
  if (options.day * series.step_seconds() != 86400)
    input_error("{}: a row every {} s; the model was trained on {} rows a day", input, series.step_seconds(),
                options.day);
  const Features features(options, schema, series, trained.statistics);
  std::vector<float> inputs(static_cast<std::size_t>(Features::size(options, schema)));
  const double level = features.input(origin, inputs);
  const std::vector<float> numbers = run(inputs, 1);
  Table table;
  for (std::int64_t h = 0; h < options.horizon; ++h) {
    const auto value = [&](std::int64_t q) {
      return level * (1 + Features::kSpread * double{numbers[static_cast<std::size_t>(h * 3 + q)]});
    };
    const Forecast f = trained.band.apply({value(0), value(1), value(2), 0});
    table.time.push_back(series.time(origin + h));
    table.quantile[0].push_back(f.low), table.quantile[1].push_back(f.middle),
        table.quantile[2].push_back(f.high);
  }
  const auto write = output.ends_with(".csv") ? write_csv : write_hdf5;
  write(output, table, schema.target, options.unit);
}

}  // namespace rondo::energy
