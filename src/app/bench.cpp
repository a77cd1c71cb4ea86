#include "bench.hpp"

#include <fstream>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "rondo/core/error.hpp"
#include "rondo/tasks/registry.hpp"
#include "rondo/train/step_bench.hpp"

namespace rondo {

double percentile(std::vector<double> values, double p) {
  std::ranges::sort(values);
  return values[std::min(values.size() - 1,
                         static_cast<std::size_t>(p * static_cast<double>(values.size())))];
}

void write_json(const std::string& path, const nlohmann::ordered_json& content) {
  if (path.empty()) return;
  std::ofstream out(path);
  out << content.dump(2) << "\n";
  if (!out) input_error("--json {}: cannot be written", path);
}

namespace {

struct StepOptions {
  StepBench bench;
  std::string json;
};

int run_step(const StepOptions& options) {
  Communicator& comm = world();
  const StepFigures figures = bench_step(options.bench, comm, make_task);
  if (comm.rank() != 0) return 0;
  const double wall = percentile(figures.wall, 0.5);
  const std::pair<const char*, double StepTimes::*> phases[] = {
      {"data wait", &StepTimes::data},
      {"forward", &StepTimes::forward},
      {"backward", &StepTimes::backward},
      {"communication, hidden", &StepTimes::hidden},
      {"communication, exposed", &StepTimes::exposed},
      {"optimizer", &StepTimes::optimizer}};
  nlohmann::ordered_json json = {{"ranks", comm.size()},
                                 {"step_us", wall * 1e6},
                                 {"samples_per_s", static_cast<double>(figures.samples) / wall},
                                 {"gflop_per_s", figures.flops / wall * 1e-9}};
  fmt::print("# {} rank(s), medians over {} steps, seen by rank 0\n{:<24} {:>10} {:>8}\n", comm.size(),
             figures.wall.size(), "phase", "us", "share");
  for (const auto& [name, phase] : phases) {
    std::vector<double> values;
    for (const StepTimes& t : figures.times) values.push_back(t.*phase);
    const double median = percentile(values, 0.5);
    fmt::print("{:<24} {:>10.1f} {:>7.1f}%\n", name, median * 1e6, 100 * median / wall);
    json["phases_us"][name] = median * 1e6;
  }
  fmt::print("{:<24} {:>10.1f}\n", "step", wall * 1e6);
  fmt::print("{:.0f} samples/s, {:.1f} GFLOP/s over all ranks\n", static_cast<double>(figures.samples) / wall,
             figures.flops / wall * 1e-9);
  write_json(options.json, json);
  return 0;
}

}  // namespace

Command add_bench(CLI::App& app) {
  CLI::App* sub = app.add_subcommand("bench", "Measure communication (comm) or training steps (step)");
  sub->footer("Example: mpirun -n 2 rondo bench comm --min 64K --max 16M");
  sub->require_subcommand(1);
  CLI::App* step = sub->add_subcommand("step", "Training steps by phase");
  step->footer("Example: mpirun -n 2 rondo bench step configs/energy.toml --set train.precision=bfloat16");
  auto options = std::make_shared<StepOptions>();
  step->add_option("config", options->bench.config, "configuration (TOML)")->required();
  step->add_option("--steps", options->bench.steps, "steps to measure")->check(CLI::Range(10, 1000000));
  step->add_option("--set", options->bench.overrides, "override a key of the config, key=value")
      ->take_all()
      ->allow_extra_args(false);
  step->add_option("--json", options->json, "write the figures to this file");
  const Command comm = add_bench_comm(*sub);
  return {sub, [step, options, comm] { return step->parsed() ? run_step(*options) : comm.run(); }};
}

}  // namespace rondo
