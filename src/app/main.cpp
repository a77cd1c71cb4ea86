// The command `rondo`: finds the subcommand, runs it, and turns any error into one line and an exit code.
#include <malloc.h>

#include <chrono>
#include <cstdio>
#include <thread>

#include "commands.hpp"
#include "rondo/core/error.hpp"
#include "rondo/core/log.hpp"
#include "rondo/core/version.hpp"

namespace rondo {
namespace {

std::unique_ptr<Communicator>& ranks() {
  static std::unique_ptr<Communicator> comm;
  return comm;
}

int rank_of_environment() {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"})
    if (const char* value = std::getenv(name)) return std::atoi(value);
  return 0;
}

int size_of_environment() {
  const char* value = std::getenv("OMPI_COMM_WORLD_SIZE");
  return value == nullptr ? 1 : std::atoi(value);
}

// Rank 0 speaks. When all ranks fail alike, it has ended the job before the others open their mouths, however
// busy the machine is where they know that they do; when only another rank fails, that one speaks.
int failed(const std::string& text, int code) {
  const int rank = error_context().rank;
  if (rank != 0) std::this_thread::sleep_for(std::chrono::seconds(error_context().shared ? 30 : 3));
  std::fputs(fmt::format("rondo: {}{}\n", rank == 0 ? "" : fmt::format("rank {}: ", rank), text).c_str(),
             stderr);
  std::fflush(stderr);
  log_line("error: " + text);
  if (ranks() != nullptr && ranks()->size() > 1) {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));  // an abort can overtake the line on its way
    ranks()->abort(code);
  }
  return code;
}

int run(int argc, char** argv) {
  CLI::App app{
      "Rondo trains models on many ranks: the same weights, bit for bit, on any number of them.\n"
      "Example: mpirun -n 4 rondo train configs/energy.toml"};
  app.set_version_flag("--version", version() + " (" + build_info() + ")");
  app.require_subcommand(1);
  const Command commands[] = {add_train(app),  add_launch(app),  add_eval(app),   add_predict(app),
                              add_import(app), add_inspect(app), add_doctor(app), add_bench(app)};
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& e) {
    return app.exit(e);
  } catch (const CLI::CallForAllHelp& e) {
    return app.exit(e);
  } catch (const CLI::CallForVersion& e) {
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    std::string text = e.what();
    if (app.get_subcommands().empty() && argc > 1 && argv[1][0] != '-')
      text = fmt::format("there is no command {}", argv[1]);
    for (char& c : text)
      if (c == '\n') c = ' ';
    if (error_context().rank == 0)
      std::fputs(fmt::format("rondo: command line: {}; see rondo --help\n", text).c_str(), stderr);
    else if (size_of_environment() > 1)
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
    return 2;
  }
  for (const Command& command : commands)
    if (command.app->parsed()) return command.run();
  return 2;
}

}  // namespace

Communicator& world() {
  if (ranks() == nullptr) {
    ranks() = Communicator::world(120);
    error_context().rank = ranks()->rank();
  }
  return *ranks();
}

}  // namespace rondo

int main(int argc, char** argv) {
  using namespace rondo;
  error_context().rank = rank_of_environment();
  mallopt(M_MMAP_THRESHOLD, 1 << 17);  // give snapshots back to the system instead of keeping holes
  int code = 0;
  try {
    code = run(argc, argv);
  } catch (const Error& e) {
    return failed(e.what(), e.exit_code());
  } catch (const std::bad_alloc&) {
    return failed("out of memory: use fewer ranks a node, smaller micro-batches or a smaller model", 71);
  } catch (const std::exception& e) {
    return failed(e.what(), 70);
  }
  if (ranks() != nullptr && ranks()->recovers()) ranks()->leave(code);
  ranks().reset();
  return code;
}
