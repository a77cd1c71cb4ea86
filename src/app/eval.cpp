#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "model_file.hpp"
#include "rondo/train/session.hpp"

namespace rondo {
namespace {

struct EvalOptions {
  std::string model, split = "test";
  std::vector<std::string> overrides;
  bool json = false;
};

int run(const EvalOptions& options) {
  const Split split = split_of(options.split);
  Communicator& comm = world();
  const auto model = open_model(options.model, options.overrides, comm);
  const Metrics metrics = evaluate(*model->trainer, *model->config.task, split);
  if (comm.rank() != 0) return 0;
  if (options.json) {
    nlohmann::ordered_json out = {{"checkpoint", model->path},
                                  {"step", model->trainer->steps_done()},
                                  {"split", options.split},
                                  {"samples", model->config.task->dataset(split).size()}};
    for (const auto& [name, value] : metrics) out["metrics"][name] = value;
    fmt::print("{}\n", out.dump(2));
    return 0;
  }
  fmt::print("{}, step {}, {} split, {} samples\n", model->path, model->trainer->steps_done(), options.split,
             model->config.task->dataset(split).size());
  fmt::print("{}", model->config.task->table(metrics));
  return 0;
}

}  // namespace

Command add_eval(CLI::App& app) {
  CLI::App* sub = app.add_subcommand("eval", "Evaluate a trained model on a split of its data");
  sub->footer("Example: rondo eval runs/energy --split test --json");
  auto options = std::make_shared<EvalOptions>();
  sub->add_option("model", options->model, "run directory or checkpoint (.h5)")->required();
  sub->add_option("--split", options->split, "train, validation or test (default: test)");
  sub->add_option("--set", options->overrides,
                  "override a key of the stored config, for example data.path=...")
      ->take_all()
      ->allow_extra_args(false);
  sub->add_flag("--json", options->json, "JSON instead of a table");
  return {sub, [options] { return run(*options); }};
}

}  // namespace rondo
