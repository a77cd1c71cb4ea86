#include "commands.hpp"
#include "rondo/core/error.hpp"
#include "rondo/tasks/registry.hpp"
#include "rondo/train/session.hpp"
#include "rondo/train/signals.hpp"

namespace rondo {

void describe_train(CLI::App& sub, TrainCommand& command) {
  sub.add_option("config", command.config, "configuration (TOML)");
  sub.add_option("--run-dir", command.run_dir, "where the run goes (default: runs/<name of the config>)");
  sub.add_flag("--resume", command.resume, "go on from the newest good checkpoint of the run directory");
  sub.add_option("--set", command.overrides, "override a key of the config, key=value; can be repeated")
      ->take_all()
      ->allow_extra_args(false);
  sub.add_flag("--accept-numerics", command.accept_numerics,
               "resume although this machine computes other bits than the one before");
}

Command add_train(CLI::App& app) {
  CLI::App* sub = app.add_subcommand("train", "Train a model; start it with mpirun for several ranks");
  sub->footer(
      "Example: mpirun -n 2 rondo train configs/energy.toml --run-dir runs/mine --set train.max_steps=200\n"
      "Signals: USR1 writes a checkpoint; USR2, TERM and INT write one and stop (exit code 85). To stop a "
      "job by\n"
      "its mpirun send that USR2: after TERM it kills ranks within a second or two.");
  auto command = std::make_shared<TrainCommand>();
  auto list = std::make_shared<bool>(false);
  describe_train(*sub, *command);
  sub->add_flag("--help-config", *list, "list the keys of a configuration with their defaults");
  return {sub, [command, list] {
            if (*list) {
              RunConfig defaults;
              defaults.task = make_task(defaults.task_kind);
              std::fputs(defaults.toml().c_str(), stdout);
              return 0;
            }
            if (command->config.empty())
              input_error("command line: config is required; see rondo train --help");
            install_signal_requests();  // before ranks meet: a wish that comes early is kept
            return run_training(*command, world(), make_task);
          }};
}

}  // namespace rondo
