// A thousand bits flip in one rank's weights and moments, at any moment of a step. All are found at the end
// of the interval, and what is done again comes to the bytes of a run in which nothing flipped.
#include "rondo/train/agreement.hpp"

#include <random>

#include "catch.hpp"
#include "comm_testing.hpp"
#include "rondo/core/phase.hpp"
#include "rondo/survive/chaos.hpp"
#include "rondo/tasks/registry.hpp"
#include "rondo/train/trainer.hpp"

using namespace rondo;

namespace {

constexpr std::int64_t kSteps = 4, kInterval = 3, kTrials = 1000;  // to warm up; between checks
constexpr std::int64_t kMicroBatches = 6;

RunConfig config(const std::string& optimizer) {
  RunConfig made = read_config(ConfigReader::from_text(fmt::format(R"(
      task.kind = "synthetic"
      synthetic = {{samples = 96, inputs = 12, targets = 5}}
      model.layers = ["linear 24 gelu", "linear 24 gelu"]
      train = {{global_batch = 24, micro_batches = {}, max_steps = 100}}
      optimizer = {{kind = "{}", clip_norm = 1.0, sharded = "false"}}
      device.kind = "cpu")",
                                                                   kMicroBatches, optimizer),
                                                       "agreement_test"),
                               make_task);
  made.task->open();
  return made;
}

// What is to happen in this process, and when.
struct Flip {
  std::string array;
  std::size_t bit = 0;
  std::int64_t step = -1;
  Phase phase = Phase::loading;
};
Flip flip;
Trainer* victim = nullptr;

void strike() {
  const Position at = Position::of(position_word());
  if (victim == nullptr || at.step != flip.step || at.phase != flip.phase) return;
  BitFlip bit(flip.array, flip.bit);
  victim->visit(bit);
  REQUIRE(bit.done());
  flip.step = -1;
}

// A run, by hand: what Session does with it.
struct Run {
  RunConfig options;
  std::unique_ptr<Backend> backend = make_backend(options.device);
  Trainer trainer{options, *backend, world()};
  Agreement agreement{[this](StateVisitor& visitor) { trainer.visit_evidence(visitor); }, world()};

  explicit Run(const std::string& optimizer) : options(config(optimizer)) {}

  void steps(std::int64_t count) {
    const std::int64_t first = trainer.steps_done();
    const std::unique_ptr<Loader> loader = trainer.loader(first, first + count);
    for (std::int64_t i = 0; i < count; ++i) {
      enter_step(first + i);
      enter(Phase::loading);
      try {
        trainer.step(loader->next(30), nullptr, kNoRequest);
      } catch (const NotFinite&) {
        return;
      } catch (const NotRepeated&) {
        return;
      }
    }
  }

  Snapshot snapshot() {
    Snapshot snapshot;
    SaveVisitor save(snapshot);
    trainer.visit(save);
    return snapshot;
  }
  std::string digest() { return snapshot().digest(""); }

  std::vector<std::string> weights_and_moments() {
    std::vector<std::string> names;
    for (const NamedArray& array : snapshot().arrays)
      if (array.name.starts_with("parameters/") || array.name.starts_with("optimizer/"))
        names.push_back(array.name);
    return names;
  }
};

}  // namespace

TEST_CASE("every bit that flips in weights or moments is found, named and undone") {
  static const bool listens = (on_entry(strike), true);
  REQUIRE(listens);
  const auto optimizer = GENERATE(as<std::string>{}, "adamw", "sgd");
  Run run(optimizer);
  REQUIRE_FALSE(run.trainer.sharded());
  run.steps(kSteps);
  REQUIRE(run.agreement.check());
  Run undisturbed(optimizer);
  undisturbed.steps(kSteps);
  REQUIRE(run.digest() == undisturbed.digest());

  const std::vector<std::string> arrays = run.weights_and_moments();
  std::mt19937 chance(7);  // the same on all ranks
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(chance() % n); };
  constexpr Phase kPhases[] = {Phase::loading,      Phase::forward,   Phase::backward, Phase::exchange,
                               Phase::control_word, Phase::optimizer, Phase::sharing};
  std::int64_t found = 0, named = 0;
  const std::int64_t trials = optimizer == "adamw" ? kTrials : kTrials / 10;
  for (std::int64_t trial = 0; trial < trials; ++trial) {
    const auto rank = static_cast<int>(below(static_cast<std::size_t>(world().size())));
    flip.array = arrays[below(arrays.size())];
    flip.bit = below(std::size_t{1} << 16);
    flip.step = run.trainer.steps_done() + static_cast<std::int64_t>(below(kInterval));
    flip.phase = kPhases[below(std::size(kPhases))];
    victim = world().rank() == rank ? &run.trainer : nullptr;
    run.steps(kInterval);
    const bool same = run.agreement.check();
    if (same) UNSCOPED_INFO("not found: " << flip.array << " bit " << flip.bit);
    REQUIRE_FALSE(same);
    ++found;
    if (run.agreement.account().starts_with(fmt::format("rank {} (", rank))) ++named;
    run.agreement.go_back();
    victim = nullptr;
    if (trial % 50 != 0) continue;
    CHECK(run.digest() == undisturbed.digest());
    run.steps(kInterval);
    undisturbed.steps(kInterval);
    CHECK(run.digest() == undisturbed.digest());
    REQUIRE(run.agreement.check());
  }
  CHECK(found == trials);
  if (world().size() > 2) CHECK(named == trials);
}
