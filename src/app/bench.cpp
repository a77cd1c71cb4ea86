#include "bench.hpp"

#include <fmt/ranges.h>

#include <array>
#include <charconv>
#include <fstream>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "rondo/core/error.hpp"
#include "rondo/tasks/registry.hpp"
#include "rondo/train/step_bench.hpp"
#include "rondo/train/step_trace.hpp"

namespace rondo {

double percentile(std::vector<double> values, double p) {
  std::ranges::sort(values);
  return values[std::min(values.size() - 1,
                         static_cast<std::size_t>(p * static_cast<double>(values.size())))];
}

std::size_t bytes_of(const char* option, const std::string& text) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string unit(end, text.data() + text.size());
  const int shift = unit.empty() ? 0 : unit == "K" ? 10 : unit == "M" ? 20 : unit == "G" ? 30 : -1;
  if (error != std::errc() || shift < 0 || value == 0 || value > (std::size_t{1} << 40))
    input_error("{} {}: expected a size such as 65536, 64K or 16M", option, text);
  return std::max<std::size_t>(4, value << shift);
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
  std::string json, trace;
};

constexpr std::pair<const char*, double StepTimes::*> kPhases[] = {
    {"data wait", &StepTimes::data},
    {"forward", &StepTimes::forward},
    {"backward", &StepTimes::backward},
    {"communication, hidden", &StepTimes::hidden},
    {"communication, exposed", &StepTimes::exposed},
    {"optimizer", &StepTimes::optimizer}};

// Medians of one way to train, in microseconds.
nlohmann::ordered_json summary(const StepFigures& figures, int ranks) {
  const double wall = percentile(figures.wall, 0.5);
  nlohmann::ordered_json json = {{"ranks", ranks},
                                 {"step_us", wall * 1e6},
                                 {"samples_per_s", static_cast<double>(figures.samples) / wall},
                                 {"gflop_per_s", figures.flops / wall * 1e-9},
                                 {"share_of_peak", nullptr}};
  if (figures.peak_flops > 0) json["share_of_peak"] = figures.flops / wall / figures.peak_flops;
  const auto median = [&](const auto& value) {
    std::vector<double> values;
    for (std::size_t i = 0; i < figures.times.size(); ++i)
      values.push_back(value(figures.times[i], figures.wall[i]));
    return percentile(values, 0.5);
  };
  for (const auto& [name, phase] : kPhases)
    json["phases_us"][name] = 1e6 * median([phase](const StepTimes& t, double) { return t.*phase; });
  json["exchange"] = {
      {"work_us", 1e6 * median([](const StepTimes& t, double) { return t.exchange_work(); })},
      {"work_share", median([](const StepTimes& t, double step) { return t.exchange_work() / step; })},
      {"waited_us", 1e6 * median([](const StepTimes& t, double) { return t.waited; })}};
  return json;
}

void print(const nlohmann::ordered_json& way) {
  const double wall = way["step_us"];
  fmt::print("{:<24} {:>10} {:>8}\n", "phase", "us", "share");
  for (const auto& [name, us] : way["phases_us"].items())
    fmt::print("{:<24} {:>10.1f} {:>7.1f}%\n", name, us.get<double>(), 100 * us.get<double>() / wall);
  const nlohmann::ordered_json& share = way["share_of_peak"];
  fmt::print("{:<24} {:>10.1f}\n{:.0f} samples/s, {:.1f} GFLOP/s over all ranks, {} of the devices' peak\n",
             "step", wall, way["samples_per_s"].get<double>(), way["gflop_per_s"].get<double>(),
             share.is_null() ? "n/a" : fmt::format("{:.2f} %", 100 * share.get<double>()));
  if (way["ranks"] == 1) return;
  const nlohmann::ordered_json& exchange = way["exchange"];
  fmt::print("exchange: {:.1f} us of work, {:.2f} % of a step; {:.1f} us of waiting for ranks or messages\n",
             exchange["work_us"].get<double>(), 100 * exchange["work_share"].get<double>(),
             exchange["waited_us"].get<double>());
}

void print(const std::vector<BucketFigures>& buckets) {
  fmt::print("\n# buckets, us since the step began; exposed: nothing left to compute meanwhile\n");
  fmt::print("{:<14} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}\n", "bucket", "bytes", "ready", "done",
             "hidden", "exposed", "of it skew");
  for (std::size_t i = 0; i < buckets.size(); ++i) {
    const BucketFigures& b = buckets[i];
    fmt::print("{:<14} {:>10} {:>10.1f} {:>10.1f} {:>10.1f} {:>10.1f} {:>10.1f}\n",
               b.bytes == 0 ? "control word" : fmt::format("{}", i),
               b.bytes == 0 ? "" : fmt::format("{}", b.bytes), b.ready, b.done, b.hidden, b.transfer + b.skew,
               b.skew);
  }
}

nlohmann::ordered_json json_of(const std::vector<BucketFigures>& buckets) {
  auto rows = nlohmann::ordered_json::array();
  for (const BucketFigures& b : buckets)
    rows.push_back({{"bytes", b.bytes},
                    {"ready_us", b.ready},
                    {"done_us", b.done},
                    {"hidden_us", b.hidden},
                    {"transfer_us", b.transfer},
                    {"skew_us", b.skew}});
  return rows;
}

int run_step(const StepOptions& options) {
  Communicator& comm = world();
  const std::vector<StepFigures> ways = bench_step(options.bench, comm, make_task);
  const StepTrace trace = gather_trace(ways[0].spans, comm);
  if (comm.rank() != 0) return 0;
  nlohmann::ordered_json json = summary(ways[0], comm.size());
  fmt::print("# {} rank(s), medians over {} steps, seen by rank 0\n", comm.size(), ways[0].wall.size());
  print(json);
  const std::vector<BucketFigures> buckets = waterfall(trace);
  json["buckets"] = json_of(buckets);
  if (comm.size() > 1) print(buckets);
  if (!options.trace.empty()) write_chrome_trace(options.trace, trace);
  if (ways.size() == 2) {
    const bool alone = options.bench.alone;
    nlohmann::ordered_json other = summary(ways[1], alone ? 1 : comm.size());
    fmt::print("\n# against {}{}{}\n", fmt::join(options.bench.against, " "),
               alone && !options.bench.against.empty() ? ", " : "",
               alone ? "rank 0 alone with its share of the batch" : "");
    print(other);
    const auto [median, low, high] = step_ratio(ways[0], ways[1]);
    json["against"] = other;
    json["step_ratio"] = {{"median", median}, {"low", low}, {"high", high}, {"turns", ways[0].blocks.size()}};
    fmt::print("\na step takes {:.4f} x the time (95 % limits {:.4f} to {:.4f}, {} turns)\n", median, low,
               high, ways[0].blocks.size());
    if (alone)
      fmt::print("{} ranks train {:.3f} x the samples/s of one ({:.3f} to {:.3f})\n", comm.size(),
                 comm.size() / median, comm.size() / high, comm.size() / low);
  }
  write_json(options.json, json);
  return 0;
}

}  // namespace

Command add_bench(CLI::App& app) {
  CLI::App* sub =
      app.add_subcommand("bench",
                         "Measure communication (comm), training steps (step), memory (kernels), "
                         "the cost of surviving (survive) or what compression = \"auto\" is worth "
                         "(compression); predict (scale)");
  sub->footer("Example: mpirun -n 2 rondo bench comm --min 64K --max 16M");
  sub->require_subcommand(1);
  CLI::App* step = sub->add_subcommand("step", "Training steps by phase");
  step->footer(
      "Example: mpirun -n 2 rondo bench step configs/energy.toml --against exchange.arithmetic=float32\n"
      "Two ways to train take turns of 16 steps within one run, so small differences show.");
  auto options = std::make_shared<StepOptions>();
  step->add_option("config", options->bench.config, "configuration (TOML)")->required();
  step->add_option("--steps", options->bench.steps, "steps to measure")->check(CLI::Range(10, 1000000));
  step->add_option("--set", options->bench.overrides, "override a key of the config, key=value")
      ->take_all()
      ->allow_extra_args(false);
  step->add_option("--against", options->bench.against,
                   "measure a second way beside it: key=value on top of --set")
      ->take_all()
      ->allow_extra_args(false);
  step->add_flag("--alone", options->bench.alone,
                 "measure rank 0 alone with its share of the batch beside it: how well ranks scale");
  step->add_option("--trace", options->trace,
                   "write the last steps of all ranks to this file, for ui.perfetto.dev or chrome://tracing");
  step->add_option("--json", options->json, "write the figures to this file");
  const std::array others = {add_bench_comm(*sub), add_bench_compression(*sub), add_bench_kernels(*sub),
                             add_bench_scale(*sub), add_bench_survive(*sub)};
  return {sub, [options, others] {
            for (const Command& other : others)
              if (other.app->parsed()) return other.run();
            return run_step(*options);
          }};
}

}  // namespace rondo
