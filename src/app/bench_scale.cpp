// rondo bench scale: what a step would take on a cluster, from a measurement on few ranks.
#include <algorithm>
#include <charconv>
#include <fstream>

#include "bench.hpp"
#include "chart.hpp"
#include "rondo/core/error.hpp"
#include "rondo/tasks/registry.hpp"
#include "scale_json.hpp"

namespace rondo {
namespace {

constexpr double kPayload = 1448.0 / 1514;  // of an Ethernet link's rate: what TCP carries in full frames

struct BenchScaleOptions {
  StepBench bench;
  std::string from, link, latency = "0us", burst, json, svg;
  std::vector<std::string> algorithms = {"auto"}, compressions;
  int up_to = 4096, ranks_per_node = 0;
  double slowdown = 1;
};

// "100Gbit" or "2us": a number and one of the units, whose case does not matter.
double quantity(const char* option, const std::string& text, const char* expected,
                std::initializer_list<std::pair<const char*, double>> units) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string unit(end, text.data() + text.size());
  std::ranges::transform(unit, unit.begin(), [](unsigned char c) { return std::tolower(c); });
  for (const auto& [name, factor] : units)
    if (error == std::errc() && number >= 0 && unit == name) return number * factor;
  input_error("{} {}: expected {}", option, text, expected);
}

Cluster cluster_of(const BenchScaleOptions& options, const ScaleMeasurement& measured) {
  Cluster cluster;
  cluster.ranks_per_node = options.ranks_per_node;
  cluster.slowdown = options.slowdown;
  cluster.link.latency =
      quantity("--latency", options.latency, "a time such as 2us", {{"us", 1e-6}, {"ms", 1e-3}, {"s", 1}});
  if (!options.link.empty()) {
    const double rate = quantity("--link", options.link, "a rate such as 100Gbit or 200mbit",
                                 {{"kbit", 1e3}, {"mbit", 1e6}, {"gbit", 1e9}});
    if (rate <= 0) input_error("--link {}: must be more than nothing", options.link);
    cluster.link.per_byte = 8 / (rate * kPayload);
  } else if (!measured.machine.between_nodes && options.up_to > cluster.ranks_per_node) {
    input_error(
        "--link: give the rate of a node's link, e.g. --link 100Gbit: the measurement was on one node and "
        "has "
        "none");
  }
  if (!options.burst.empty()) cluster.burst = static_cast<double>(bytes_of("--burst", options.burst));
  return cluster;
}

struct PlanRow {
  std::string algorithm, compression;
  std::vector<Prediction> points;
  std::string name() const { return algorithm + ", " + compression; }
};

std::vector<PlanRow> predict(const BenchScaleOptions& options, const ScaleMeasurement& measured,
                             const std::vector<int>& ranks) {
  std::vector<PlanRow> rows;
  Cluster cluster = cluster_of(options, measured);
  for (const std::string& algorithm : options.algorithms)
    for (const StepProfile& profile : measured.profiles) {
      cluster.algorithm = algorithm;
      PlanRow& row = rows.emplace_back(algorithm, profile.compression);
      for (const int n : ranks)
        row.points.push_back(predict_step(measured.machine, profile, cluster, n, measured.check()));
    }
  return rows;
}

void print(const ScaleMeasurement& measured, const std::vector<PlanRow>& rows) {
  const Machine& m = measured.machine;
  fmt::print("# measured on {} rank(s) of {} node(s): a message {:.3g} us + {:.3g} GB/s", measured.ranks,
             measured.nodes, m.message.latency * 1e6, 1e-9 / m.message.per_byte);
  if (m.shared_ranks > 0)
    fmt::print(", shared memory {:.3g} us + {:.3g} GB/s", m.shared.latency * 1e6, 1e-9 / m.shared.per_byte);
  fmt::print(", adding {:.3g} GB/s\n", 1e-9 / m.add_per_byte);
  fmt::print("# check: these ranks together took {:.3f} ms a step, predicted {:.3f} ms ({:+.1f} %)\n",
             measured.measured_step * 1e3, measured.predicted_step * 1e3, 100 * measured.check());
  fmt::print("# every rank keeps its part of the batch: {:.0f} samples\n", measured.profiles[0].samples);
  for (const PlanRow& row : rows) {
    fmt::print("\nalgorithm {}, compression {}\n{:>7} {:>12} {:>12} {:>14} {:>10} {:>11} {:>14}\n",
               row.algorithm, row.compression, "ranks", "step, ms", "+- ms", "exposed, ms", "skew, ms",
               "efficiency", "samples/s");
    for (const Prediction& p : row.points)
      fmt::print("{:>7} {:>12.3f} {:>12.3f} {:>14.3f} {:>10.3f} {:>10.1f}% {:>14.0f}\n", p.ranks,
                 p.step * 1e3, p.margin * 1e3, p.exposed * 1e3, p.skew * 1e3, 100 * p.efficiency,
                 p.samples_per_s);
  }
}

void draw(const BenchScaleOptions& options, const std::vector<int>& ranks, const std::vector<PlanRow>& rows) {
  if (options.svg.empty()) return;
  Panel step{"Time of a step, ms", {}, 0}, exposed{"Exposed communication, ms", {}, 0},
      efficiency{"Efficiency, %", {}, 100};
  for (const PlanRow& row : rows) {
    Curve s{row.name(), {}, {}, {}}, x = s, e = s;
    for (const Prediction& p : row.points) {
      const auto add = [](Curve& curve, double y, double low, double high) {
        curve.y.push_back(y), curve.low.push_back(low), curve.high.push_back(high);
      };
      add(s, p.step * 1e3, (p.step - p.margin) * 1e3, (p.step + p.margin) * 1e3);
      add(x, p.exposed * 1e3, p.exposed * 1e3, p.exposed * 1e3);
      add(e, p.efficiency * 100, p.efficiency * 100 / (1 + p.margin / p.step),
          std::min(100.0, p.efficiency * 100 / (1 - std::min(0.9, p.margin / p.step))));
    }
    step.curves.push_back(s), exposed.curves.push_back(x), efficiency.curves.push_back(e);
  }
  const std::string title = fmt::format(
      "{}, {} a node", options.link.empty() ? "Link as measured" : options.link, options.ranks_per_node);
  std::ofstream out(options.svg);
  out << svg_of("Predicted training steps: " + title, "ranks", {ranks.begin(), ranks.end()},
                {step, exposed, efficiency});
  if (!out) input_error("--svg {}: cannot be written", options.svg);
}

nlohmann::ordered_json json_of(const std::vector<PlanRow>& rows) {
  auto all = nlohmann::ordered_json::array();
  for (const PlanRow& row : rows)
    for (const Prediction& p : row.points)
      all.push_back({{"algorithm", row.algorithm},
                     {"compression", row.compression},
                     {"ranks", p.ranks},
                     {"step_us", p.step * 1e6},
                     {"margin_us", p.margin * 1e6},
                     {"exposed_us", p.exposed * 1e6},
                     {"skew_us", p.skew * 1e6},
                     {"efficiency", p.efficiency},
                     {"samples_per_s", p.samples_per_s}});
  return all;
}

int run(BenchScaleOptions options) {
  ScaleMeasurement measured;
  if (!options.from.empty()) {
    measured = read_measurement(options.from);
  } else {
    if (options.bench.config.empty()) input_error("bench scale: give a config to measure, or --from FILE");
    if (options.compressions.empty()) options.compressions = {""};
    measured = measure_scale(options.bench, options.compressions, world(), make_task);
    if (world().rank() != 0) return 0;
  }
  if (options.ranks_per_node == 0)
    options.ranks_per_node = (measured.ranks + measured.nodes - 1) / measured.nodes;
  std::vector<int> ranks;
  for (int n = 1; n < options.up_to; n *= 2) ranks.push_back(n);
  ranks.push_back(options.up_to);
  const std::vector<PlanRow> rows = predict(options, measured, ranks);
  print(measured, rows);
  draw(options, ranks, rows);
  write_json(options.json, {{"measurement", json_of(measured)}, {"predictions", json_of(rows)}});
  return 0;
}

}  // namespace

Command add_bench_scale(CLI::App& bench) {
  CLI::App* sub = bench.add_subcommand("scale", "Predict training steps on a cluster from a few ranks here");
  sub->footer(
      "Example: mpirun -n 2 rondo bench scale configs/energy.toml --ranks-per-node 8 --link 100Gbit "
      "--latency 2us \\\n"
      "           --algorithm ring --algorithm hierarchical --up-to 4096 --svg scale.svg --json scale.json\n"
      "         rondo bench scale --from scale.json --link 1Gbit     # the same measurement, another "
      "cluster\n"
      "Every rank keeps the part of the batch that it has here. Measured on one node, messages cost what "
      "they cost\n"
      "within it, and --latency and --link come on top; measured on several, the link is what it is unless "
      "--link\n"
      "says that it is slower. The margin covers errors of the measurement, not what was never measured.");
  auto options = std::make_shared<BenchScaleOptions>();
  sub->add_option("config", options->bench.config, "configuration (TOML)");
  sub->add_option("--from", options->from, "instead of measuring: what an earlier --json holds");
  sub->add_option("--ranks-per-node", options->ranks_per_node, "of the cluster; else as here")
      ->check(CLI::Range(1, 1024));
  sub->add_option("--link", options->link, "rate of each node's link, each way, e.g. 100Gbit");
  sub->add_option("--latency", options->latency, "what a message takes more between nodes, e.g. 2us");
  sub->add_option("--burst", options->burst,
                  "bytes that a link shaped by a token bucket lets through at once");
  sub->add_option("--slowdown", options->slowdown, "computing takes so many times as long there as here")
      ->check(CLI::Range(0.001, 1000.0));
  sub->add_option("--up-to", options->up_to, "ranks")->check(CLI::Range(1, 1 << 20));
  sub->add_option("--algorithm", options->algorithms,
                  "auto, ring, hierarchical, tree, shared; may be repeated")
      ->check(CLI::IsMember({"auto", "ring", "hierarchical", "tree", "shared"}))
      ->take_all()
      ->allow_extra_args(false);
  sub->add_option("--compression", options->compressions,
                  "none, int16, int8, topk, powersgd; may be repeated; else the config's")
      ->check(CLI::IsMember({"none", "int16", "int8", "topk", "powersgd"}))
      ->take_all()
      ->allow_extra_args(false);
  sub->add_option("--set", options->bench.overrides, "override a key of the config, key=value")
      ->take_all()
      ->allow_extra_args(false);
  sub->add_option("--steps", options->bench.steps, "steps to measure each time")
      ->check(CLI::Range(10, 1000000));
  sub->add_option("--svg", options->svg, "draw the curves in this file");
  sub->add_option("--json", options->json, "write measurement and predictions to this file");
  return {sub, [options] { return run(*options); }};
}

}  // namespace rondo
