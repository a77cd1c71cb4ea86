#include "run_metrics.hpp"

#include <fmt/core.h>

#include <utility>

namespace rondo {

void RunMetrics::step(std::int64_t steps, const StepResult& result, double samples_per_s) {
  if (comm_.rank() != 0) return;
  const StepTimes& t = result.times;
  nlohmann::ordered_json line = {{"step", steps},
                                 {"loss", result.loss},
                                 {"learning_rate", result.rate},
                                 {"gradient_norm", result.norm},
                                 {"samples_per_s", samples_per_s},
                                 {"redos", result.redos},
                                 {"data_s", t.data},
                                 {"forward_s", t.forward},
                                 {"backward_s", t.backward},
                                 {"communication_hidden_s", t.hidden},
                                 {"communication_exposed_s", t.exposed},
                                 {"optimizer_s", t.optimizer}};
  const double now = now_s();
  line["elapsed_s"] = now - std::exchange(told_, now);
  line["checking_s"] = std::exchange(pauses_[kChecking].untold_s, 0);
  line["checkpoints_s"] = std::exchange(pauses_[kCheckpoint].untold_s, 0);
  directory_.append_metrics(line);
}

void RunMetrics::evaluation(std::int64_t steps, const char* split, const Metrics& metrics) {
  if (comm_.rank() != 0) return;
  nlohmann::ordered_json line = {{"step", steps}, {"split", split}};
  for (const auto& [name, value] : metrics) line[name] = value;
  directory_.append_metrics(line);
}

void RunMetrics::paused(Pause what, double seconds) {
  ++pauses_[what].times;
  pauses_[what].all_s += seconds;
  pauses_[what].untold_s += seconds;
}

std::string RunMetrics::pauses() const {
  const auto each = [&](Pause what) {
    const Pauses& p = pauses_[what];
    return fmt::format("{} of {:.1f} ms", p.times, p.times == 0 ? 0 : 1e3 * p.all_s / p.times);
  };
  const double all = now_s() - began_, paused = pauses_[kChecking].all_s + pauses_[kCheckpoint].all_s;
  return fmt::format("comparisons of all ranks' state: {}; checkpoints: {}; together {:.2f} % of {:.1f} s",
                     each(kChecking), each(kCheckpoint), 100 * paused / all, all);
}

}  // namespace rondo
