#include <fmt/ranges.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "rondo/core/error.hpp"
#include "rondo/io/checkpoint.hpp"
#include "rondo/io/checkpoint_folder.hpp"
#include "rondo/survive/attempts.hpp"
#include "rondo/train/run_directory.hpp"

namespace rondo {
namespace {

struct InspectOptions {
  std::string model;
  bool digest = false, json = false;
};

// What befell a run: the checkpoints that are left, its starts, which ranks were lost how often, and which
// were slow when.
struct History {
  std::vector<std::int64_t> steps;
  std::vector<std::uintmax_t> bytes;
  std::vector<Attempt> attempts;
  std::map<int, int> losses;  // by rank
  std::vector<nlohmann::ordered_json> balance;
  double elapsed_s = 0, checking_s = 0, checkpoints_s = 0;  // of the steps that metrics tell of

  explicit History(const std::string& run_directory) {
    const CheckpointFolder folder(run_directory + "/checkpoints");
    for (const std::int64_t step : folder.list()) {
      std::error_code gone;
      const std::uintmax_t size = std::filesystem::file_size(folder.path_of(step), gone);
      if (gone) continue;
      steps.push_back(step);
      bytes.push_back(size);
    }
    attempts = read_attempts(run_directory);
    for (const Attempt& attempt : attempts)
      for (const int rank : attempt.lost) ++losses[rank];
    balance = lines_of(run_directory + "/balance.jsonl");
    for (const auto& line : lines_of(run_directory + "/metrics.jsonl")) {
      elapsed_s += line.value("elapsed_s", 0.0);
      checking_s += line.value("checking_s", 0.0);
      checkpoints_s += line.value("checkpoints_s", 0.0);
    }
  }

  // Lines torn by a crash are left out.
  static std::vector<nlohmann::ordered_json> lines_of(const std::string& path) {
    std::vector<nlohmann::ordered_json> lines;
    std::ifstream file(path);
    for (std::string text; std::getline(file, text);)
      if (auto line = nlohmann::ordered_json::parse(text, nullptr, false); line.is_object())
        lines.push_back(std::move(line));
    return lines;
  }

  nlohmann::ordered_json json() const {
    nlohmann::ordered_json out = {{"checkpoints", nlohmann::json::array()},
                                  {"attempts", nlohmann::json::array()},
                                  {"losses", nlohmann::json::array()},
                                  {"balance", balance},
                                  {"elapsed_s", elapsed_s},
                                  {"checking_s", checking_s},
                                  {"checkpoints_s", checkpoints_s}};
    for (std::size_t i = 0; i < steps.size(); ++i)
      out["checkpoints"].push_back({{"step", steps[i]}, {"bytes", bytes[i]}});
    for (const Attempt& attempt : attempts) out["attempts"].push_back(attempt.json());
    for (const auto& [rank, times] : losses) out["losses"].push_back({{"rank", rank}, {"times", times}});
    return out;
  }

  std::string text() const {
    std::string text = fmt::format("\n{:>10}  {:>12}\n", "checkpoint", "bytes");
    for (std::size_t i = 0; i < steps.size(); ++i)
      text += fmt::format("{:>10}  {:>12}\n", steps[i], bytes[i]);
    text += fmt::format(
        "\nof {:.1f} s training stood still for {:.3f} s to compare the ranks' state and for {:.3f} s to "
        "begin "
        "checkpoints: {:.2f} %\n",
        elapsed_s, checking_s, checkpoints_s,
        elapsed_s > 0 ? 100 * (checking_s + checkpoints_s) / elapsed_s : 0);
    if (!balance.empty()) text += "\nbalance\n";
    for (const auto& line : balance)
      text += fmt::format("{}  step {}: {}\n", line.value("time", ""), line.value("step", std::int64_t{-1}),
                          line.value("what", ""));
    if (attempts.empty()) return text;
    text += "\n" + table_of(attempts);
    for (const auto& [rank, times] : losses)
      text += fmt::format("rank {} was lost {} time(s)\n", rank, times);
    return text;
  }
};

int run(const InspectOptions& options) {
  const std::string path = find_checkpoint(options.model);
  const Snapshot snapshot = read_checkpoint(path);
  const std::string digest = snapshot.digest("parameters/");
  const bool is_run = path != options.model;
  if (options.digest) return fmt::print("{}\n", digest), 0;
  if (options.json) {
    nlohmann::ordered_json out = {{"checkpoint", path}, {"digest", digest}};
    for (const auto& [name, value] : snapshot.scalars)
      std::visit([&, key = name](const auto& v) { out["scalars"][key] = v; }, value);
    for (const NamedArray& array : snapshot.arrays)
      out["arrays"].push_back({{"name", array.name}, {"type", name_of(array.type)}, {"shape", array.shape}});
    if (is_run) out["run"] = History(options.model).json();
    return fmt::print("{}\n", out.dump(2)), 0;
  }
  fmt::print("{}\ndigest of weights  {}\n", path, digest);
  for (const auto& [name, value] : snapshot.scalars) {
    if (name == "config") continue;
    std::visit([&, key = name](const auto& v) { fmt::print("{:<28} {}\n", key, v); }, value);
  }
  if (is_run) fmt::print("{}", History(options.model).text());
  fmt::print("\n{:<52} {:>8}  {}\n", "array", "type", "shape");
  for (const NamedArray& array : snapshot.arrays)
    fmt::print("{:<52} {:>8}  [{}]\n", array.name, name_of(array.type), fmt::join(array.shape, ", "));
  fmt::print("\nconfig\n{}", snapshot.text("config"));
  return 0;
}

}  // namespace

Command add_inspect(CLI::App& app) {
  CLI::App* sub = app.add_subcommand("inspect", "Show what is in a run or checkpoint, and what befell a run");
  sub->footer("Example: rondo inspect runs/energy --digest");
  auto options = std::make_shared<InspectOptions>();
  sub->add_option("model", options->model, "run directory or checkpoint (.h5)")->required();
  sub->add_flag("--digest", options->digest, "only one hex digest of all weights");
  sub->add_flag("--json", options->json, "JSON instead of text");
  return {sub, [options] { return run(*options); }};
}

}  // namespace rondo
