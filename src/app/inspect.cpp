#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "rondo/core/error.hpp"
#include "rondo/io/checkpoint.hpp"
#include "rondo/train/run_directory.hpp"

namespace rondo {
namespace {

struct Options {
  std::string model;
  bool digest = false, json = false;
};

int run(const Options& options) {
  const std::string path = find_checkpoint(options.model);
  const Snapshot snapshot = read_checkpoint(path);
  const std::string digest = snapshot.digest("parameters/");
  if (options.digest) return fmt::print("{}\n", digest), 0;
  if (options.json) {
    nlohmann::ordered_json out = {{"checkpoint", path}, {"digest", digest}};
    for (const auto& [name, value] : snapshot.scalars)
      std::visit([&, key = name](const auto& v) { out["scalars"][key] = v; }, value);
    for (const NamedArray& array : snapshot.arrays)
      out["arrays"].push_back({{"name", array.name}, {"type", name_of(array.type)}, {"shape", array.shape}});
    return fmt::print("{}\n", out.dump(2)), 0;
  }
  fmt::print("{}\ndigest of weights  {}\n", path, digest);
  for (const auto& [name, value] : snapshot.scalars) {
    if (name == "config") continue;
    std::visit([&, key = name](const auto& v) { fmt::print("{:<28} {}\n", key, v); }, value);
  }
  fmt::print("\n{:<52} {:>8}  {}\n", "array", "type", "shape");
  for (const NamedArray& array : snapshot.arrays)
    fmt::print("{:<52} {:>8}  [{}]\n", array.name, name_of(array.type), fmt::join(array.shape, ", "));
  fmt::print("\nconfig\n{}", snapshot.text("config"));
  return 0;
}

}  // namespace

Command add_inspect(CLI::App& app) {
  CLI::App* sub = app.add_subcommand("inspect", "Show what is in a run or checkpoint");
  sub->footer("Example: rondo inspect runs/energy --digest");
  auto options = std::make_shared<Options>();
  sub->add_option("model", options->model, "run directory or checkpoint (.h5)")->required();
  sub->add_flag("--digest", options->digest, "only one hex digest of all weights");
  sub->add_flag("--json", options->json, "JSON instead of text");
  return {sub, [options] { return run(*options); }};
}

}  // namespace rondo
