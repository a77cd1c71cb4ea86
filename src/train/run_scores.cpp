#include "run_scores.hpp"

#include <limits>

#include "rondo/core/log.hpp"
#include "rondo/train/session.hpp"

namespace rondo {

bool RunScores::validate() {
  const std::vector<float> predictions = trainer_.predict(Split::validation);
  task_.calibrate(predictions);
  const Metrics metrics = task_.evaluate(Split::validation, predictions);
  double score = std::numeric_limits<double>::infinity();
  std::string text;
  for (const auto& [name, value] : metrics) {
    text += fmt::format("  {} {:.5g}", name, value);
    if (name == task_.score()) score = value;
  }
  const std::int64_t step = trainer_.steps_done();
  say(fmt::format("step {}: validation{}", step, text));
  metrics_.evaluation(step, "validation", metrics);
  if (score < best_) best_ = score, best_step_ = step;
  return best_step_ == step;
}

void RunScores::test() {
  const Metrics metrics = evaluate(trainer_, task_, Split::test);
  say(fmt::format("test, {} samples:\n{}", task_.dataset(Split::test).size(), task_.table(metrics)));
  metrics_.evaluation(trainer_.steps_done(), "test", metrics);
}

}  // namespace rondo
