#include <nlohmann/json.hpp>

#include "bench.hpp"
#include "commands.hpp"
#include "rondo/tasks/registry.hpp"
#include "rondo/train/step_bench.hpp"
#include "rondo/train/survive_bench.hpp"

namespace rondo {
namespace {

struct BenchSurviveOptions {
  SurviveBench bench;
  std::string json;
};

int run(const BenchSurviveOptions& options) {
  Communicator& comm = world();
  const SurviveFigures figures = bench_survive(options.bench, comm, make_task);
  if (comm.rank() != 0) return 0;
  std::vector<double> ratios;
  for (std::size_t i = 0; i < figures.with_s.size(); ++i)
    ratios.push_back(figures.with_s[i] / figures.without_s[i]);
  const auto [median, low, high] = median_with_limits(ratios);
  const double round_s = percentile(figures.without_s, 0.5);
  const double check_s = figures.checks_s.empty() ? 0 : percentile(figures.checks_s, 0.5);
  fmt::print("# {} rank(s), {} rounds of {} steps each way, in turns of {} steps, seen by rank 0\n",
             comm.size(), ratios.size(), figures.round_steps, SurviveFigures::kBlockSteps);
  fmt::print(
      "a step takes {:.1f} us; with heartbeats, watchdog and comparisons of state {:.4f} x the time (95 % "
      "limits {:.4f} to {:.4f})\n",
      1e6 * round_s / static_cast<double>(figures.round_steps), median, low, high);
  fmt::print("a comparison takes {:.2f} ms, {:.2f} % of {} steps\n", 1e3 * check_s, 100 * check_s / round_s,
             figures.round_steps);
  write_json(options.json, {{"ranks", comm.size()},
                            {"rounds", ratios.size()},
                            {"round_steps", figures.round_steps},
                            {"round_s", round_s},
                            {"ratio", {{"median", median}, {"low", low}, {"high", high}}},
                            {"check_s", check_s}});
  return 0;
}

}  // namespace

Command add_bench_survive(CLI::App& bench) {
  CLI::App* sub = bench.add_subcommand("survive", "What heartbeats, watchdog and comparisons of state cost");
  sub->footer("Example: mpirun -n 2 --bind-to core rondo bench survive configs/energy.toml");
  auto options = std::make_shared<BenchSurviveOptions>();
  sub->add_option("config", options->bench.config, "configuration (TOML)")->required();
  sub->add_option("--rounds", options->bench.rounds, "rounds from one comparison to the next")
      ->check(CLI::Range(1, 100000));
  sub->add_option("--set", options->bench.overrides, "override a key of the config, key=value")
      ->take_all()
      ->allow_extra_args(false);
  sub->add_option("--json", options->json, "write the figures to this file");
  return {sub, [options] { return run(*options); }};
}

}  // namespace rondo
