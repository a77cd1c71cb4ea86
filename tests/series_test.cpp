// Time series from CSV and HDF5: the values, the calendar, and one clear line for each thing that can be
// wrong with a file.
#include "rondo/data/series.hpp"

#include <hdf5.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "io_testing.hpp"
#include "rondo/io/hdf5.hpp"

using namespace rondo;
namespace fs = std::filesystem;

namespace {

SeriesSchema schema_of(const std::string& missing = "error") {
  SeriesSchema schema;
  schema.target = "demand";
  schema.known = {"tariff"};
  schema.observed = {"temp"};
  schema.missing = missing;
  return schema;
}

/// Rows of an hourly file; column order differs from the schema's and one column is not used.
std::string hourly(int rows) {
  std::string text = "time,temp,unused,demand,tariff\n";
  const std::int64_t start = seconds_of(2023, 12, 31, 22);
  for (int i = 0; i < rows; ++i)
    text += fmt::format("{},{},x,{},{}\n", format_time(start + std::int64_t{3600} * i), 0.1 * i, 1000 + i,
                        i % 24 < 6 ? -1.5 : 2e-3);
  return text;
}

std::vector<double> column_of(const Series& series, const std::string& name) {
  std::vector<double> values(static_cast<std::size_t>(series.rows()));
  series.read(series.column_index(name), 0, std::span(values));
  return values;
}

}  // namespace

TEST_CASE("calendar") {
  const CivilTime t = civil_time(seconds_of(2024, 12, 31, 23, 59, 58));
  CHECK((t.year == 2024 && t.month == 12 && t.day == 31 && t.hour == 23 && t.minute == 59 && t.second == 58));
  CHECK(t.weekday == 1);  // a Tuesday
  CHECK(t.day_of_year == 366);
  CHECK(civil_time(-1).year == 1969);
  CHECK(parse_time("1970-01-02T00:00") == 86400);
  CHECK(parse_time("1970-01-01 00:01:02Z") == 62);
  CHECK(format_time(*parse_time("2000-02-29T12:30:15")) == "2000-02-29T12:30:15");
  for (const char* bad : {"", "2024-02-30T00:00", "2023-02-29T00:00", "2024-01-01", "2024-01-01T24:00",
                          "2024-01-01T00:60", "2024-1-1T00:00", "2024-01-01T00:00+01:00", "01.02.2024 00:00"})
    CHECK(!parse_time(bad));
}

TEST_CASE("a series has the same values from CSV, gzip and HDF5") {
  const TemporaryFolder folder;
  const int rows = 50'000;  // four chunks
  write_text(folder / "a.csv", hourly(rows));
  write_gzip(folder / "b.csv.gz", hourly(rows));
  write_series_hdf5(folder / "c.h5", folder / "b.csv.gz", schema_of());
  for (const char* name : {"a.csv", "b.csv.gz", "c.h5"}) {
    INFO(name);
    const Series series = Series::open(folder / name, schema_of());
    CHECK(series.rows() == rows);
    CHECK(series.step_seconds() == 3600);
    CHECK(format_time(series.time(2)) == "2024-01-01T00:00:00");
    CHECK(series.filled() == 0);
    CHECK(series.column_index("demand") == 0);
    CHECK(contains(message_of([&] { series.column_index("demnd"); }), "did you mean demand?"));
    const std::vector<double> temp = column_of(series, "temp"), demand = column_of(series, "demand");
    bool right = true;
    for (int i = 0; i < rows; ++i) {
      const auto row = static_cast<std::size_t>(i);
      right = right && temp[row] == std::stod(fmt::format("{}", 0.1 * i)) && demand[row] == 1000 + i;
    }
    CHECK(right);
    std::vector<float> window(100);
    series.read(1, 16'350, window);  // over the border of two chunks
    CHECK(window[0] == (16'350 % 24 < 6 ? -1.5f : 2e-3f));
    CHECK(window[99] == (16'449 % 24 < 6 ? -1.5f : 2e-3f));
    CHECK_THROWS_AS(series.read(0, rows - 99, window), Error);
    CHECK_THROWS_AS(series.read(0, -1, window), Error);
    CHECK_THROWS_AS(series.read(3, 0, window), Error);
  }
}

TEST_CASE("missing values are refused or interpolated, in CSV and on the way to HDF5") {
  const TemporaryFolder folder;
  const std::string path = folder / "gaps.csv";
  write_text(
      path,
      "time,demand,tariff,temp\n2024-01-01T00:00,,1,1\n2024-01-01T00:15,NA,NaN,2\n2024-01-01T00:30,4,,3\n"
      "2024-01-01T00:45,6, ,4\n2024-01-01T01:00,nan,5,5\n");
  CHECK(contains(message_of([&] { Series::open(path, schema_of()); }),
                 ":2: column demand: \"\" is a missing value; fill it, or set data.missing"));
  CHECK(write_series_hdf5(folder / "gaps.h5", path, schema_of("interpolate")).filled == 6);
  CHECK(Series::open(path, schema_of("interpolate")).filled() == 6);
  for (const char* name : {"gaps.csv", "gaps.h5"}) {
    const Series series = Series::open(folder / name, schema_of("interpolate"));
    CHECK(column_of(series, "demand") == std::vector<double>{4, 4, 4, 6, 6});
    CHECK(column_of(series, "tariff") == std::vector<double>{1, 2, 3, 4, 5});
  }
  write_text(path, "time,demand,tariff,temp\n2024-01-01T00:00,1,1,\n2024-01-01T00:15,1,1,\n");
  CHECK(contains(message_of([&] { Series::open(path, schema_of("interpolate")); }),
                 "column temp has no value"));
}

TEST_CASE("series errors name the line, what was expected and what came") {
  const TemporaryFolder folder;
  const std::string path = folder / "data.csv";
  const auto fails = [&](const std::string& times, const std::string& expected) {
    std::string text = "time,demand,tariff,temp\n";
    for (std::size_t at = 0; at < times.size(); at += 6)
      text += "2024-01-01T" + times.substr(at, 5) + ",1,2,3\n";
    write_text(path, text);
    const std::string message = message_of([&] { Series::open(path, schema_of()); });
    INFO(message);
    CHECK(message.find(path) == 0);
    CHECK(contains(message, expected));
    CHECK(!fs::exists(folder / "data.h5"));
    CHECK(message_of([&] { write_series_hdf5(folder / "data.h5", path, schema_of()); }) == message);
    CHECK(std::distance(fs::directory_iterator(folder.path), {}) == 1);  // nothing is left behind
  };
  fails("00:00 00:15 01:00",
        ":4: column time: \"2024-01-01T01:00\" breaks the constant step: comes after "
        "2024-01-01T00:15:00; expected 2024-01-01T00:30:00 (step 900 s, 2 rows missing)");
  fails("00:00 00:15 00:20", ":4: column time: \"2024-01-01T00:20\" breaks the constant step");
  fails("00:00 00:15 00:15", ":4: column time: \"2024-01-01T00:15\" is a duplicate");
  fails("00:00 00:15 00:00", ":4: column time: \"2024-01-01T00:00\" goes backwards");
  fails("00:15 00:00", ":3: column time: \"2024-01-01T00:00\" goes backwards");
  fails("00:00 00:00", ":3: column time: \"2024-01-01T00:00\" is a duplicate");
  fails("00:00 0x:15", ":3: column time: \"2024-01-01T0x:15\" is not a time; expected");
  fails("00:00", "has 1 rows of data; a series needs at least 2");
  fails("", "has 0 rows of data");

  SeriesSchema schema = schema_of();
  write_text(path, hourly(3));
  schema.observed = {"tmp"};
  CHECK(contains(message_of([&] { Series::open(path, schema); }), ":1: no column tmp; did you mean temp?"));
  schema.observed = {"demand"};
  CHECK(contains(message_of([&] { Series::open(path, schema); }), "names column demand twice"));
  CHECK(contains(message_of([&] { Series::open(path, SeriesSchema{}); }), "data.target is not set"));
}

TEST_CASE("the [data] section is read and its mistakes are named") {
  SeriesSchema schema;
  ConfigReader reader = ConfigReader::from_text(
      "[data]\npath = \"x.csv\"\ntarget = \"demand\"\nobserved = [\"temp\"]\nmissing = \"interpolate\"\n",
      "c.toml");
  schema.visit(reader);
  reader.finish();
  CHECK((schema.path == "x.csv" && schema.target == "demand" && schema.missing == "interpolate"));
  CHECK(schema.columns().size() == 2);
  ConfigReader wrong = ConfigReader::from_text("[data]\nmissing = \"drop\"\n", "c.toml");
  CHECK(contains(message_of([&] { schema.visit(wrong); }), "data.missing must be one of error, interpolate"));
}

TEST_CASE("an HDF5 series that cannot be used says why") {
  const TemporaryFolder folder;
  const std::string csv = folder / "data.csv", path = folder / "data.h5";
  write_text(csv, hourly(20'000));
  const auto fresh = [&] { write_series_hdf5(path, csv, schema_of()); };
  const auto why = [&](const SeriesSchema& schema) {
    const std::string message = message_of([&] { column_of(Series::open(path, schema), "demand"); });
    INFO(message);
    CHECK((message == "none" || message.find(path) == 0));
    return message;
  };
  const auto edit = [&](auto change) {
    fresh();
    const auto lock = hdf5_lock();
    const H5Handle file(H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), "open");
    change(file);
  };
  const auto set = [&](hid_t object, const char* name, const Scalar& value) {
    H5Adelete(object, name);
    write_attribute(object, name, value, path);
  };
  fresh();
  CHECK(why(schema_of()) == "none");
  SeriesSchema other = schema_of();
  other.known = {"tarif"};
  CHECK(contains(why(other), "no column tarif; did you mean tariff?"));
  other.known = {};
  other.observed = {"temp", "tariff"};
  CHECK(contains(why(other), "column tariff: is recorded as known, but [data] lists it as observed"));

  edit([&](hid_t file) { set(file, "format", "rondo-checkpoint"); });
  CHECK(contains(why(schema_of()), "is no rondo-series file"));
  edit([&](hid_t file) { set(file, "format_version", std::int64_t{2}); });
  CHECK(contains(why(schema_of()), "has rondo-series version 2, but this program reads version 1"));
  edit([&](hid_t file) { set(file, "step", std::int64_t{0}); });
  CHECK(contains(why(schema_of()), "start 1704060000 and step 0"));
  edit([&](hid_t file) { set(file, "step", INT64_MAX); });
  CHECK(contains(why(schema_of()), "are no times in the years"));
  edit([&](hid_t file) {
    const H5Handle column(H5Dopen2(file, "columns/temp", H5P_DEFAULT), "open");
    const hsize_t rows = 19'999;
    H5Dset_extent(column, &rows);
  });
  CHECK(contains(why(schema_of()), "column temp: has 19999 rows, but column demand has 20000"));
  edit([&](hid_t file) {
    const H5Handle column(H5Dopen2(file, "columns/demand", H5P_DEFAULT), "open");
    std::vector<double> values(20'000, 1.0);
    values[17'000] = NAN;
    H5Dwrite(column, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
  });
  CHECK(contains(why(schema_of()), "column demand: row 17000 (2025-12-09T06:00:00) is nan"));

  fresh();
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(fs::file_size(path) / 2));
  file.write("damaged!", 8);  // in the data of one of the columns
  file.close();
  const std::string damaged = message_of([&] {
    const Series series = Series::open(path, schema_of());
    for (const SeriesSchema::Column& column : series.columns()) column_of(series, column.name);
  });
  CHECK(contains(damaged, "cannot be read, the file is damaged; import it again"));
  fs::resize_file(path, fs::file_size(path) / 2);
  CHECK(contains(why(schema_of()), "truncated"));
  write_text(path, "time,demand\n");
  CHECK(contains(why(schema_of()), "no HDF5 file"));
  fs::remove(path);
  CHECK(contains(why(schema_of()), "No such file"));
}

TEST_CASE("an import onto a full disk leaves nothing behind") {
  const TemporaryFolder folder;
  write_text(folder / "data.csv", hourly(60'000));
  const pid_t pid = fork();
  if (pid == 0) {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{600'000, 600'000};
    setrlimit(RLIMIT_FSIZE, &limit);
    try {
      write_series_hdf5(folder / "data.h5", folder / "data.csv", schema_of());
    } catch (const InputError& e) {
      _exit(contains(e.what(), "data.h5") && contains(e.what(), "File too large") ? 0 : 1);
    }
    _exit(2);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  CHECK(status == 0);
  CHECK(std::distance(fs::directory_iterator(folder.path), {}) == 1);
}

TEST_CASE("threads read one series at the same time") {
  const TemporaryFolder folder;
  const int rows = 600'000;  // more blocks than the cache holds
  write_text(folder / "data.csv", hourly(rows));
  write_series_hdf5(folder / "data.h5", folder / "data.csv", schema_of());
  const Series series = Series::open(folder / "data.h5", schema_of());
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      std::vector<float> window(50);
      for (std::int64_t i = 0; i < 2000; ++i) {
        const std::int64_t first = (i * 7'919'993 + t * 100'003) % (rows - 50);
        series.read(static_cast<std::size_t>(i % 3), first, window);
        wrong += i % 3 == 0 && window[7] != static_cast<float>(1000 + first + 7) ? 1 : 0;
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

namespace {

/// A series of one column of constant chunks that a filter shrinks to almost nothing.
void write_long_series(const std::string& path, hsize_t rows) {
  const auto lock = hdf5_lock();
  const H5Handle file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), "create");
  const H5Handle group(H5Gcreate2(file, "columns", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), "group");
  const H5Handle list(H5Pcreate(H5P_DATASET_CREATE), "list");
  const hsize_t chunk = 16'384;
  const double fill = 2.5;
  H5Pset_chunk(list, 1, &chunk);
  H5Pset_deflate(list, 1);
  H5Pset_fill_value(list, H5T_NATIVE_DOUBLE, &fill);
  H5Pset_alloc_time(list, H5D_ALLOC_TIME_EARLY);
  const H5Handle space(H5Screate_simple(1, &rows, nullptr), "space");
  const H5Handle set(H5Dcreate2(group, "demand", H5T_NATIVE_DOUBLE, space, H5P_DEFAULT, list, H5P_DEFAULT),
                     "set");
  write_attribute(set, "role", "target", path);
  write_attribute(file, "format", "rondo-series", path);
  write_attribute(file, "format_version", std::int64_t{1}, path);
  write_attribute(file, "start", std::int64_t{0}, path);
  write_attribute(file, "step", std::int64_t{60}, path);
}

std::int64_t peak_rss_kib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

}  // namespace

TEST_CASE("a series of 480 MB is read in bounded memory") {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  constexpr std::int64_t allowed_kib = 1 << 30;  // a sanitizer keeps freed memory
#else
  constexpr std::int64_t allowed_kib = 40 * 1024;
#endif
  const TemporaryFolder folder;
  const std::int64_t rows = 60'000'000;
  write_long_series(folder / "long.h5", static_cast<hsize_t>(rows));
  const pid_t pid = fork();
  if (pid == 0) {
    SeriesSchema schema;
    schema.target = "demand";
    const Series series = Series::open(folder / "long.h5", schema);
    std::vector<float> window(10'000);
    double sum = 0;
    const std::int64_t before = peak_rss_kib();
    for (std::int64_t row = 0; row < rows; row += 10'000) {
      series.read(0, row, window);
      sum += window[0] + window[9999];
    }
    const std::int64_t growth = peak_rss_kib() - before;
    if (growth >= allowed_kib) std::fprintf(stderr, "grew by %lld KiB\n", static_cast<long long>(growth));
    _exit(growth < allowed_kib && sum == 5.0 * (static_cast<double>(rows) / 10'000) ? 0 : 1);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  CHECK(status == 0);
}
