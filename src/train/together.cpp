#include "rondo/core/error.hpp"
#include "rondo/core/version.hpp"
#include "rondo/train/session.hpp"

namespace rondo {

void together(Communicator& comm, const std::function<void()>& work) {
  std::string problem;
  try {
    work();
  } catch (const InputError& e) {
    problem = fmt::format("i{}", e.what());
  } catch (const std::exception& e) {
    problem = fmt::format("e{}", e.what());
  }
  const std::vector<std::string> problems = comm.gather_texts(problem);
  for (const std::string& first : problems) {
    if (first.empty()) continue;
    error_context().shared = true;
    if (first[0] == 'i') throw InputError(first.substr(1));
    throw Error(first.substr(1));
  }
}

RunConfig read_together(Communicator& comm, const std::string& file, std::vector<std::string> overrides,
                        const std::vector<std::string>& more, TaskFactory factory) {
  overrides.insert(overrides.end(), more.begin(), more.end());
  RunConfig config;
  together(comm, [&] { config = read_config(ConfigReader::from_file(file, overrides), factory); });
  return config;
}

std::string common_fingerprint(Backend& backend, Communicator& comm) {
  const std::string mine = fmt::format("rondo {}; {}", version(), backend.numerics());
  const std::vector<std::string> all = comm.gather_texts(mine);
  for (std::size_t r = 1; r < all.size(); ++r)
    if (all[r] != all[0])
      input_error(
          "ranks would compute different bits: rank 0 has \"{}\", rank {} has \"{}\"; use equal machines and "
          "settings, or cap all to the lesser instruction set (mpirun -x ONEDNN_MAX_CPU_ISA=AVX2)",
          all[0], r, all[r]);
  return mine;
}

Metrics evaluate(Trainer& trainer, const Task& task, Split split) {
  Metrics metrics = task.evaluate(split, trainer.predict(split));
  const Metrics baselines = task.baselines(split);
  metrics.insert(metrics.end(), baselines.begin(), baselines.end());
  return metrics;
}

}  // namespace rondo
