// rondo bench compression: what exchange.compression = "auto" decides here, beside what each way takes.
#include "bench.hpp"
#include "rondo/core/clock.hpp"
#include "rondo/tasks/registry.hpp"
#include "rondo/train/compression_choice.hpp"
#include "rondo/train/session.hpp"
#include "rondo/train/step_bench.hpp"

namespace rondo {
namespace {

struct BenchCompressionOptions {
  StepBench bench;
  double seconds = 3;
  std::string json;
};

int run(const BenchCompressionOptions& options) {
  Communicator& comm = world();
  StepBench bench = options.bench;
  bench.seconds = options.seconds;
  RunConfig config =
      read_together(comm, bench.config, bench.overrides, {"exchange.compression=auto"}, make_task);
  std::unique_ptr<Backend> backend;
  together(comm, [&] {
    backend = make_backend(config.device, comm.local_rank(), comm.local_size());
    config.task->open();
  });
  comm.barrier();
  const double begin = now_s();
  const std::string decision = resolve_compression(config, *backend, comm);
  const double trial_s = now_s() - begin;

  bench.overrides.push_back("exchange.compression=int8");
  bench.against = {"exchange.compression=none"};
  const std::vector<StepFigures> ways = bench_step(bench, comm, make_task);
  if (comm.rank() != 0) return 0;
  const auto [median, low, high] = step_ratio(ways[0], ways[1]);
  const double int8_s = percentile(ways[0].wall, 0.5), none_s = percentile(ways[1].wall, 0.5);
  fmt::print("{}\ndecided in {:.2f} s\n", decision, trial_s);
  fmt::print(
      "{} rank(s): a step takes {:.4g} ms with int8 and {:.4g} ms with none, {:.4f} x the time (95 % limits "
      "{:.4f} to {:.4f}, {} turns of {} steps)\n",
      comm.size(), int8_s * 1e3, none_s * 1e3, median, low, high, ways[0].blocks.size(),
      ways[0].wall.size() / ways[0].blocks.size());
  write_json(options.json, {{"ranks", comm.size()},
                            {"values", ways[0].values},
                            {"choice", config.exchange.compression},
                            {"decision", decision},
                            {"trial_s", trial_s},
                            {"int8_us", int8_s * 1e6},
                            {"none_us", none_s * 1e6},
                            {"step_ratio", {{"median", median}, {"low", low}, {"high", high}}},
                            {"turns", ways[0].blocks.size()}});
  return 0;
}

}  // namespace

Command add_bench_compression(CLI::App& bench) {
  CLI::App* sub = bench.add_subcommand(
      "compression", "What exchange.compression = \"auto\" decides, then steps with int8 beside none");
  sub->footer(
      "Example: scripts/two-hosts -n 2 --rate 1gbit -- build/release/rondo bench compression "
      "configs/energy.toml\n"
      "scripts/controller-check does this for many models, links and ranks.");
  auto options = std::make_shared<BenchCompressionOptions>();
  sub->add_option("config", options->bench.config, "configuration (TOML)")->required();
  sub->add_option("--seconds", options->seconds, "how long to measure after the decision")
      ->check(CLI::Range(0.1, 3600.0));
  sub->add_option("--set", options->bench.overrides, "override a key of the config, key=value")
      ->take_all()
      ->allow_extra_args(false);
  sub->add_option("--json", options->json, "write the figures to this file");
  return {sub, [options] { return run(*options); }};
}

}  // namespace rondo
