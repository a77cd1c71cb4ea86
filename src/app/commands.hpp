// The subcommands of `rondo`: each adds itself to the command line and returns what to run.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "rondo/comm/communicator.hpp"

namespace rondo {

/// One subcommand. `run` gives the exit code; commands that need ranks get them from `world()`.
struct Command {
  CLI::App* app = nullptr;
  std::function<int()> run;
};

/// The ranks of this process, started on first use.
Communicator& world();

/// The options of `train`, also for who hands them on.
void describe_train(CLI::App& sub, struct TrainCommand& command);

Command add_train(CLI::App& app);
Command add_launch(CLI::App& app);
Command add_eval(CLI::App& app);
Command add_predict(CLI::App& app);
Command add_import(CLI::App& app);
Command add_inspect(CLI::App& app);
Command add_doctor(CLI::App& app);
Command add_bench(CLI::App& app);

}  // namespace rondo
