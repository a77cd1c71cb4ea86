#include "commands.hpp"
namespace rondo {
Command add_doctor(CLI::App& app) {
  CLI::App* sub = app.add_subcommand("doctor", "Check this machine");
  return {sub, [] { return 0; }};
}
Command add_bench(CLI::App& app) {
  CLI::App* sub = app.add_subcommand("bench", "Measure");
  return {sub, [] { return 0; }};
}
}  // namespace rondo
