#include "commands.hpp"
#include "rondo/core/error.hpp"
#include "rondo/data/series.hpp"
#include "rondo/tasks/registry.hpp"
#include "rondo/train/run_config.hpp"

namespace rondo {
namespace {

struct ImportOptions {
  std::string config, csv, output;
};

// Any config's [data] section is the schema; what else stands there is checked as for training.
int run(const ImportOptions& options) {
  if (!options.output.ends_with(".h5"))
    input_error("--output {}: expected a name that ends in .h5", options.output);
  ConfigReader reader = ConfigReader::from_file(options.config);
  SeriesSchema schema;
  schema.visit(reader);
  read_config(std::move(reader), make_task);
  const CsvImport done =
      write_series_hdf5(options.output, options.csv.empty() ? schema.path : options.csv, schema);
  fmt::print("{}: {} rows from {}, a row every {} s, {} missing values filled\n", options.output, done.rows,
             format_time(done.start), done.step, done.filled);
  return 0;
}

}  // namespace

Command add_import(CLI::App& app) {
  CLI::App* sub =
      app.add_subcommand("import", "Convert a CSV file to Rondo's HDF5 layout, for data larger than memory");
  sub->footer("Example: rondo import configs/energy.toml --csv load.csv.gz --output load.h5");
  auto options = std::make_shared<ImportOptions>();
  sub->add_option("config", options->config, "configuration whose [data] section declares the columns")
      ->required();
  sub->add_option("--csv", options->csv, "CSV file, gzip too (default: the config's data.path)");
  sub->add_option("--output", options->output, "HDF5 file to write (.h5)")->required();
  return {sub, [options] { return run(*options); }};
}

}  // namespace rondo
