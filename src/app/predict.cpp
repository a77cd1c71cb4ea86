#include "commands.hpp"
#include "rondo/core/error.hpp"
#include "rondo/device/array.hpp"
#include "rondo/io/checkpoint.hpp"
#include "rondo/tasks/registry.hpp"
#include "rondo/train/run_config.hpp"
#include "rondo/train/run_directory.hpp"

namespace rondo {
namespace {

struct PredictOptions {
  std::string model, input, output;
};

// Needs the checkpoint alone: neither ranks nor the data that it was trained on.
int run(const PredictOptions& options) {
  if (!options.output.ends_with(".csv") && !options.output.ends_with(".h5"))
    input_error("--output {}: expected a name that ends in .csv or .h5", options.output);
  const std::string path = find_checkpoint(options.model);
  const Snapshot snapshot = read_checkpoint(path);
  RunConfig config = read_config(ConfigReader::from_text(snapshot.text("config"), path), make_task);
  const auto backend = make_backend(config.device);
  Model model(config.model, config.task->inputs(), config.task->targets(), config.task->loss());
  ParameterStore& store = model.store();
  store.allocate(*backend, 0);
  LoadVisitor load(snapshot);
  store.visit(load, config.optimizer.average_decay > 0 ? "average" : "parameters", store.arena());
  config.task->visit(load);
  Workspace workspace(*backend);
  DeviceView view(*backend);
  settle_for_float32(config.train, *backend);
  config.task->predict(options.input, options.output, [&](std::span<const float> inputs, std::int64_t rows) {
    Pass pass{.backend = *backend, .store = store, .workspace = workspace};
    pass.precision = precision_of(config.train.precision);
    pass.samples = rows;
    const Matrix in{view.of(inputs), rows, static_cast<std::int64_t>(inputs.size()) / rows};
    const Matrix out = model.predict(pass, in);
    std::vector<float> host(static_cast<std::size_t>(out.size()));
    backend->copy_out(host.data(), out.data, host.size() * sizeof(float));
    backend->check_ids();
    return host;
  });
  fmt::print("forecast written to {}\n", options.output);
  return 0;
}

}  // namespace

Command add_predict(CLI::App& app) {
  CLI::App* sub = app.add_subcommand("predict", "Forecast from a file of yours with a trained model");
  sub->footer(
      "Example: rondo predict runs/energy --input recent.csv --output forecast.csv\n"
      "The input has the model's history and, where it knows columns ahead (temperature, calendar), the "
      "rows\n"
      "to forecast with their target left empty.");
  auto options = std::make_shared<PredictOptions>();
  sub->add_option("model", options->model, "run directory or checkpoint (.h5)")->required();
  sub->add_option("--input", options->input, "the recent past and what is known ahead (CSV or HDF5)")
      ->required();
  sub->add_option("--output", options->output, "where the forecast goes (.csv or .h5)")->required();
  return {sub, [options] { return run(*options); }};
}

}  // namespace rondo
