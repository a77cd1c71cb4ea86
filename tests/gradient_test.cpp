// Gradients against central differences, in double precision: `nn` compiled with RONDO_REAL=double on the
// reference backend.
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "builder.hpp"
#include "catch.hpp"
#include "gradient_networks.hpp"
#include "reference_backend.hpp"
#include "rondo/core/error.hpp"
#include "rondo/nn/model.hpp"

using namespace rondo;
using namespace rondo::gradients;

namespace {

using Doubles = std::vector<double>;
constexpr double kStep = 2e-4;         // of a difference
constexpr double kClear = 20 * kStep;  // how far from a kink a difference may be taken
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

Doubles draw(std::int64_t n, std::uint32_t seed, double low = -1, double high = 1) {
  const RandomStream stream{seed, Purpose::test, 0, 0};
  Doubles values(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = low + (high - low) * static_cast<double>(stream.uniform(i));
  return values;
}

Matrix matrix(Doubles& values, std::int64_t rows) {
  return {values.data(), rows, static_cast<std::int64_t>(values.size()) / rows};
}

/// "" where `gradient` is df/dvalues to one part in a million, else the first place where it is not.
std::string differs(const std::string& name, double* values, const double* gradient, std::int64_t n,
                    const std::function<double()>& f) {
  for (std::int64_t i = 0; i < n; ++i) {
    const double x = values[i];
    const auto at = [&](double steps) { return values[i] = x + steps * kStep, f(); };
    const double slope = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * kStep);  // error O(step^4)
    values[i] = x;
    const double tolerance = 1e-6 * std::max(std::fabs(slope), std::fabs(gradient[i])) + 1e-9;
    if (!(std::fabs(slope - gradient[i]) <= tolerance))
      return fmt::format("{}[{}]: backward gives {}, the difference {}", name, i, gradient[i], slope);
  }
  return "";
}

/// Parameters and gradients of a network and whatever a pass needs.
struct Bench {
  ReferenceBackend backend;
  Workspace workspace{backend};
  Doubles gradients;
  std::vector<std::pair<std::int64_t, Doubles>> ready;  // what was said to be complete, and what it was
  int parts = 0;                                        // of that, parts of layers

  void allocate(ParameterStore& store, std::uint32_t seed) {
    REQUIRE(seed < 5000);  // else every draw comes close to a kink
    store.allocate(backend, seed);
    for (std::size_t t = 0; t < store.list().size(); ++t) {
      const Doubles values = draw(store.list()[t].size, seed * 100 + static_cast<std::uint32_t>(t));
      std::copy(values.begin(), values.end(), store.value(static_cast<int>(t)));
    }
    gradients.assign(static_cast<std::size_t>(store.values()), kNaN);
    store.attach_gradients(gradients.data());
  }

  Pass pass(ParameterStore& store, std::int64_t samples = kSamples, std::int64_t first = 0) {
    return {backend, store, workspace, true, Precision::float32, first != 0, 7, 3, first, samples};
  }

  void record(std::int64_t end) {
    ready.emplace_back(end, Doubles(gradients.begin(), gradients.begin() + end));
  }

  /// Gradients must have been complete from the front when they were said to be, and all in the end.
  std::string promised_too_early(const ParameterStore& store) {
    std::int64_t last = 0;
    for (const auto& [end, then] : ready) {
      if (end < last) return "gradients_ready went back";
      last = end;
      for (const Parameter& p : store.list())
        for (std::int64_t i = p.offset; i < std::min(end, p.offset + p.size); ++i)
          if (!(then[static_cast<std::size_t>(i)] == gradients[static_cast<std::size_t>(i)]))
            return p.name + " was said to be ready and changed";
    }
    return last == store.values() ? "" : "gradients_ready did not reach the end";
  }

  /// The gradients must be `times` those of f.
  std::string parameters_differ(ParameterStore& store, double times, const std::function<double()>& f) {
    const Doubles found = gradients;  // f may compute gradients, too
    for (const Parameter& p : store.list()) {
      Doubles once(found.begin() + p.offset, found.begin() + p.offset + p.size);
      for (double& g : once) g /= times;
      const std::string wrong = differs(p.name, store.arena() + p.offset, once.data(), p.size, f);
      if (!wrong.empty()) return wrong;
    }
    return "";
  }
};

/// Checks d(sum of weights * outputs) of a network by its parameters and inputs; "" if it is right.
std::string check(const Network& network, std::uint32_t seed = 1) {
  Bench bench;
  ParameterStore store;
  const LayerPtr root = build_network(store, "", network.layers, network.inputs, kTargets, 0).root;
  bench.allocate(store, seed);
  Doubles inputs = draw(kSamples * network.inputs, seed + 50);
  for (double& x : inputs)
    if (network.ids != 0) x = std::floor((x + 1) / 2 * static_cast<double>(network.ids));
  const Doubles weights = draw(kSamples * kTargets, seed + 51);
  Pass pass = bench.pass(store);
  pass.gradients_ready = [&](std::int64_t end) { bench.record(end); };
  pass.gradients_so_far = [&](std::int64_t end) { bench.record(end), ++bench.parts; };

  const auto f = [&] {
    bench.workspace.reset();
    const Matrix y = root->forward(pass, matrix(inputs, kSamples));
    double sum = 0;
    for (std::size_t i = 0; i < weights.size(); ++i) sum += weights[i] * y.data[i];
    return sum;
  };
  const auto backward = [&] {
    f();
    Doubles dy = weights;
    const Matrix dx = root->backward(pass, matrix(dy, kSamples), true);
    return Doubles(dx.data, dx.data + dx.size());
  };
  const auto failed = [&](const std::string& why) {
    return fmt::format("{} inputs, {}: {}", network.inputs, network.layers, why);
  };
  f();
  if (bench.backend.nearest_kink < kClear) return check(network, seed + 100);
  const Doubles dx = backward();
  std::string wrong = bench.parts > 0 ? bench.promised_too_early(store) : "no layer told of a part";
  if (wrong.empty()) wrong = bench.parameters_differ(store, 1, f);
  if (wrong.empty() && network.ids == 0) {
    if (dx.size() != inputs.size()) return failed("no gradient of the inputs");
    wrong = differs("inputs", inputs.data(), dx.data(), kSamples * network.inputs, f);
  }
  if (!wrong.empty()) return failed(wrong);
  pass.accumulate = true;
  backward();
  wrong = bench.parameters_differ(store, 2, f);
  return wrong.empty() ? "" : failed("accumulated: " + wrong);
}

/// A model with a batch of its own. The second sample is masked, and one target of the first.
struct Trainer : Bench {
  static constexpr std::int64_t kColumns = 6;
  static constexpr double kScale = 0.7;
  Model model;
  std::int64_t samples;
  Doubles inputs, targets, weights;

  Trainer(const ModelOptions& options, bool pinball, std::uint32_t seed, std::int64_t n = kSamples)
      : model(options, kColumns, kTargets, make_loss(pinball)),
        samples(n),
        inputs(draw(n * kColumns, seed + 60)),
        targets(draw(n * kTargets, seed + 61, 2, 4)),
        weights(draw(n * kTargets, seed + 62, 0.5, 2)) {
    allocate(model.store(), seed);
    weights[0] = weights[kTargets] = weights[kTargets + 1] = 0;
  }

  /// Trains samples [begin, end) and gives the sum of their losses.
  double train(std::int64_t begin, std::int64_t end) {
    const std::int64_t n = end - begin;
    Pass now = pass(model.store(), n, begin);
    ready.clear();
    now.gradients_ready = [this](std::int64_t at) { record(at); };
    now.gradients_so_far = now.gradients_ready;
    const Batch batch{{inputs.data() + begin * kColumns, n, kColumns},
                      {targets.data() + begin * kTargets, n, kTargets},
                      {weights.data() + begin * kTargets, n, kTargets}};
    const auto members = static_cast<double>(model.members());
    Doubles losses(static_cast<std::size_t>(n * model.members()), kNaN);
    double sum = 0;
    PhaseClock clock(now.backend);
    for (std::int64_t member = 0; member < model.members(); ++member)
      model.train(now, member, batch, kScale, losses.data() + member * n, clock);
    for (const double loss : losses) sum += kScale * loss / members;
    return sum;
  }
};

std::string check_model(const ModelOptions& options, bool pinball, std::uint32_t seed = 1) {
  Trainer trainer(options, pinball, seed);
  trainer.train(0, kSamples);
  if (trainer.backend.nearest_kink < kClear) return check_model(options, pinball, seed + 100);
  std::string wrong = trainer.promised_too_early(trainer.model.store());
  // The loss is the mean over members, but every member trains as it would alone.
  if (wrong.empty())
    wrong = trainer.parameters_differ(trainer.model.store(), static_cast<double>(options.members),
                                      [&] { return trainer.train(0, kSamples); });
  return wrong.empty() ? "" : fmt::format("{} members of {}: {}", options.members, options.layers, wrong);
}

double largest_difference(const Doubles& a, const Doubles& b) {
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) != std::isnan(b[i])) return 1e300;
    if (!std::isnan(a[i])) largest = std::max(largest, std::fabs(a[i] - b[i]));  // padding stays NaN
  }
  return largest;
}

}  // namespace

TEST_CASE("the backward of every layer is the derivative of its forward") {
  for (const Network& network : kNetworks) CHECK(check(network) == "");
}

TEST_CASE("a loss gives its own gradient, times the scale and the weights") {
  for (const bool pinball : {false, true}) {
    const auto loss = make_loss(pinball);
    const std::int64_t columns = kTargets * loss->per_target();
    ReferenceBackend backend;
    Doubles prediction, gradient(static_cast<std::size_t>(kSamples * columns)), unused(gradient);
    Doubles target = draw(kSamples * kTargets, 2), weights = draw(kSamples * kTargets, 3, 0, 2);
    weights[2] = 0;
    const auto f = [&](double scale, Doubles& into) {
      Doubles losses(kSamples);
      loss->evaluate(backend, matrix(prediction, kSamples), matrix(target, kSamples),
                     matrix(weights, kSamples), scale, losses.data(), matrix(into, kSamples));
      return losses[0] + losses[1] + losses[2];
    };
    std::uint32_t seed = 4;
    do {
      backend.nearest_kink = 1e300;
      prediction = draw(kSamples * columns, seed++);
      f(1, gradient);
    } while (backend.nearest_kink < kClear);
    CHECK(differs("prediction", prediction.data(), gradient.data(), kSamples * columns,
                  [&] { return f(1, unused); }) == "");
    f(0.25, unused);
    for (std::size_t i = 0; i < gradient.size(); ++i) CHECK(unused[i] == 0.25 * gradient[i]);
  }
}

TEST_CASE("whole models have the gradients of their losses, masked targets and members included") {
  for (const ModelOptions& options : kModels)
    for (const bool pinball : {false, true}) CHECK(check_model(options, pinball) == "");
}

TEST_CASE("micro-batches accumulate to the gradient of the whole batch, dropout included") {
  for (const ModelOptions& options : kModels) {
    Trainer whole(options, false, 1, 6), parts(options, false, 1, 6);
    const double loss = whole.train(0, 6);
    const double sum = parts.train(0, 2) + parts.train(2, 5) + parts.train(5, 6);
    CHECK(sum == Approx(loss).epsilon(1e-12));
    CHECK(largest_difference(whole.gradients, parts.gradients) < 1e-11);
  }
}

TEST_CASE("a sample of weight 0 changes nothing") {
  for (const ModelOptions& options : kModels) {
    Trainer one(options, true, 1), other(options, true, 1);
    for (std::int64_t c = 0; c < Trainer::kColumns; ++c)
      other.inputs[static_cast<std::size_t>(Trainer::kColumns + c)] = 5;  // the second sample is masked
    other.targets[kTargets] = -17;
    CHECK(one.train(0, kSamples) == other.train(0, kSamples));
    CHECK(largest_difference(one.gradients, other.gradients) == 0);
  }
}

TEST_CASE("a prediction is the mean over members, without dropout") {
  ModelOptions alone = kModels[1];
  alone.members = 1;
  Trainer both(kModels[1], false, 1), first(alone, false, 2), second(alone, false, 3);
  const std::int64_t half = first.model.store().values();
  REQUIRE(both.model.store().values() == 2 * half);
  double* arena = both.model.store().arena();
  std::copy_n(first.model.store().arena(), half, arena);
  std::copy_n(second.model.store().arena(), half, arena + half);
  const auto predict = [&](Trainer& of) {
    Pass pass = of.pass(of.model.store());
    pass.training = false;
    const Matrix y = of.model.predict(pass, matrix(both.inputs, kSamples));
    return Doubles(y.data, y.data + y.size());
  };
  const Doubles one = predict(first), other = predict(second);
  Doubles mean(one.size());
  for (std::size_t i = 0; i < mean.size(); ++i) mean[i] = (one[i] + other[i]) / 2;
  CHECK(largest_difference(predict(both), mean) < 1e-14);
  CHECK(largest_difference(one, other) > 0.1);
}
