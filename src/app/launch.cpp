#include "rondo/survive/launch.hpp"

#include <unistd.h>

#include <filesystem>
#include <sstream>

#include "commands.hpp"
#include "rondo/core/error.hpp"
#include "rondo/train/session.hpp"

namespace rondo {
namespace {

struct LaunchCommand {
  LaunchOptions launch;
  std::string mpirun_arguments;
  std::vector<std::string> command;
};

// Reads what goes to `train` as train will, so that mistakes are found before anything is started.
TrainCommand train_command(const std::vector<std::string>& words) {
  if (words.empty() || words[0] != "train")
    input_error(
        "launch: expected \"-- train CONFIG ...\" at the end, such as: rondo launch -n 2 -- train job.toml");
  CLI::App parser;
  TrainCommand command;
  describe_train(parser, command);
  try {
    parser.parse(std::vector<std::string>(words.rbegin(), words.rend() - 1));  // CLI11 takes them reversed
  } catch (const CLI::ParseError& e) {
    input_error("command line: train: {}; see rondo train --help", e.what());
  }
  if (command.config.empty()) input_error("command line: config is required; see rondo train --help");
  if (!std::filesystem::exists(command.config))
    input_error("{}: cannot be opened; expected a TOML configuration", command.config);
  return command;
}

int run(LaunchCommand& options) {
  if (std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr)
    input_error("launch: starts mpirun itself; run it without one");
  LaunchOptions& launch_options = options.launch;
  if (launch_options.min_ranks > launch_options.ranks)
    input_error("launch: --min-ranks {} is more than -n {}", launch_options.min_ranks, launch_options.ranks);
  const TrainCommand command = train_command(options.command);
  launch_options.run_directory = run_dir_of(command);
  launch_options.resume = command.resume;
  const char* mpirun = std::getenv("RONDO_MPIRUN");
  launch_options.mpirun = {mpirun != nullptr ? mpirun : "mpirun"};
  if (geteuid() == 0) launch_options.mpirun.push_back("--allow-run-as-root");
  std::istringstream words(options.mpirun_arguments);
  for (std::string word; words >> word;) launch_options.mpirun.push_back(word);
  launch_options.train = {std::filesystem::read_symlink("/proc/self/exe").string()};
  launch_options.train.insert(launch_options.train.end(), options.command.begin(), options.command.end());
  return launch(launch_options);
}

}  // namespace

Command add_launch(CLI::App& app) {
  CLI::App* sub =
      app.add_subcommand("launch", "Train under mpirun, and start again when a rank dies or hangs");
  sub->footer(
      "Example: rondo launch -n 4 --max-restarts 20 -- train configs/energy.toml --run-dir runs/mine\n"
      "With --mpirun \"--with-ft ulfm\" (Open MPI 5) ranks recover in the job; it starts again only when "
      "they do not.\n"
      "Signals: USR1 writes a checkpoint; TERM and INT write one and stop (exit code 85).");
  auto options = std::make_shared<LaunchCommand>();
  sub->add_option("-n", options->launch.ranks, "ranks")->required()->check(CLI::Range(1, 1 << 20));
  sub->add_option("--max-restarts", options->launch.max_restarts, "restarts before giving up (default: 10)")
      ->check(CLI::Range(0, 1 << 20));
  sub->add_option("--min-ranks", options->launch.min_ranks, "go on with as few ranks as this (default: all)")
      ->check(CLI::Range(1, 1 << 20));
  sub->add_option("--hosts", options->launch.hosts, "hostfile: lines of a host's name and slots=N");
  sub->add_option("--mpirun", options->mpirun_arguments, "further arguments of mpirun, in one text");
  sub->add_option("command", options->command, "-- train CONFIG and its options")->expected(-1);
  return {sub, [options] { return run(*options); }};
}

}  // namespace rondo
