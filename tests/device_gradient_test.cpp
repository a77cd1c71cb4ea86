// Gradients through whole networks and losses on every device that is usable here, in its own float32
// arithmetic: the slope of what forward computes, by differences along directions, against backward.
#include <cstdlib>
#include <functional>
#include <numeric>

#include "builder.hpp"
#include "catch.hpp"
#include "gradient_networks.hpp"
#include "parity_bench.hpp"

using namespace rondo;
using namespace rondo::gradients;
using namespace rondo::parity;

namespace {

constexpr double kStep = 0.04;       // along a direction of length 1
constexpr double kTolerance = 5e-4;  // of the gradient's length; forward's rounding makes up a tenth of it

/// A tool under which each launch takes its time asks for fewer: every kernel still runs.
int directions() {
  const char* asked = std::getenv("RONDO_DIRECTIONS");
  return asked != nullptr ? std::atoi(asked) : 4;
}

double length(const Doubles& v) { return std::sqrt(std::inner_product(v.begin(), v.end(), v.begin(), 0.0)); }

/// The gradient's own direction, then such whose every element counts alike.
Doubles direction(int number, const Floats& gradient, std::uint32_t seed) {
  Doubles d = wide(gradient);
  if (number > 0) {
    const Floats signs = draw(static_cast<std::int64_t>(d.size()), seed + static_cast<std::uint32_t>(number));
    std::transform(signs.begin(), signs.end(), d.begin(), [](float s) { return s < 0 ? -1.0 : 1.0; });
  }
  const double norm = length(d);
  for (double& x : d) x = norm > 0 ? x / norm : 0;
  return d;
}

/// A network or model on a device, and f, the number whose gradient is checked.
struct Subject {
  Subject(Backend& device, std::uint32_t number) : backend(device), seed(number) {}

  Backend& backend;
  ParameterStore* store = nullptr;
  Workspace workspace{backend};
  Bench bench{backend};
  std::function<double()> f;
  std::uint32_t seed;

  Pass pass(bool accumulate = false) {
    return {backend, *store, workspace, true, Precision::float32, accumulate, 7, 3, 0, kSamples};
  }
  void allocate(ParameterStore& parameters) {
    store = &parameters;
    store->allocate(backend, seed);
    for (std::size_t t = 0; t < store->list().size(); ++t) {
      const Floats values = draw(store->list()[t].size, seed * 100 + static_cast<std::uint32_t>(t));
      backend.copy_in(store->value(static_cast<int>(t)), values.data(), values.size() * sizeof(float));
    }
    store->touch();
    store->attach_gradients(bench.in(Floats(static_cast<std::size_t>(store->values()))));
  }

  /// df/dx along d. Nothing where f has a kink nearby: where half the step gives another slope.
  double slope(float* at, const Floats& x, const Doubles& d) {
    const auto moved = [&](double steps) {
      Floats y(x);
      for (std::size_t i = 0; i < y.size(); ++i) y[i] += static_cast<float>(steps * kStep * d[i]);
      backend.copy_in(at, y.data(), y.size() * sizeof(float));
      store->touch();
      return f();
    };
    const double one = moved(1) - moved(-1), two = moved(2) - moved(-2), half = moved(0.5) - moved(-0.5);
    backend.copy_in(at, x.data(), x.size() * sizeof(float));
    store->touch();
    const double wide_slope = (8 * one - two) / (12 * kStep), narrow = (8 * half - one) / (6 * kStep);
    return std::fabs(wide_slope - narrow) < kTolerance / 2 * (1 + std::fabs(narrow)) ? narrow : std::nan("");
  }

  enum class Verdict { right, wrong, kink };
  /// Is `gradient` that of f by the numbers at `at`?
  Verdict check(const std::string& name, float* at, const Floats& gradient) {
    const Floats x = bench.out(at, static_cast<std::int64_t>(gradient.size()));
    const double norm = length(wide(gradient));
    for (int i = 0, count = directions(); i < count; ++i) {
      const Doubles d = direction(i, gradient, seed * 10);
      const double found = slope(at, x, d);
      if (std::isnan(found)) return Verdict::kink;
      const double told = std::inner_product(d.begin(), d.end(), gradient.begin(), 0.0);
      INFO(backend.name() << ", " << name << ", direction " << i << ": backward " << told << ", f " << found);
      CHECK(std::fabs(found - told) <= kTolerance * norm + kTolerance / 10);
      if (!(std::fabs(found - told) <= kTolerance * norm + kTolerance / 10)) return Verdict::wrong;
    }
    return Verdict::right;
  }
  /// `f` may compute gradients, too: all are read before.
  Verdict check_parameters() {
    const Floats gradients = bench.out(store->gradient(0), store->values());
    for (std::size_t t = 0; t < store->list().size(); ++t) {
      const Parameter& p = store->list()[t];
      const auto begin = gradients.begin() + p.offset;
      const Verdict verdict = check(p.name, store->value(static_cast<int>(t)), Floats(begin, begin + p.size));
      if (verdict != Verdict::right) return verdict;
    }
    return Verdict::right;
  }
};

using Verdict = Subject::Verdict;

Verdict check(Backend& backend, const Network& network, std::uint32_t seed) {
  Subject subject(backend, seed);
  ParameterStore store;
  const LayerPtr root = build_network(store, "", network.layers, network.inputs, kTargets, 0).root;
  subject.allocate(store);
  Floats numbers = draw(kSamples * network.inputs, seed + 50);
  for (float& x : numbers)
    if (network.ids != 0) x = std::floor((x + 1) / 2 * static_cast<float>(network.ids));
  const Floats weights = draw(kSamples * kTargets, seed + 51);
  const Matrix inputs = subject.bench.in(numbers, kSamples, network.inputs);
  const Matrix dy = subject.bench.in(weights, kSamples, kTargets);

  subject.f = [&] {
    subject.workspace.reset();
    Pass pass = subject.pass();
    const Floats y = subject.bench.out(root->forward(pass, inputs));
    return std::inner_product(y.begin(), y.end(), weights.begin(), 0.0);
  };
  subject.f();
  Pass pass = subject.pass();
  const Floats dx = subject.bench.out(root->backward(pass, dy, true));
  const Verdict verdict = subject.check_parameters();
  if (verdict != Verdict::right || network.ids != 0) return verdict;
  return subject.check("inputs", inputs.data, dx);
}

Verdict check(Backend& backend, const ModelOptions& options, bool pinball, std::uint32_t seed) {
  constexpr std::int64_t kColumns = 6;
  constexpr float kScale = 0.7F;
  Model model(options, kColumns, kTargets, make_loss(pinball));
  Subject subject(backend, seed);
  subject.allocate(model.store());
  Bench& bench = subject.bench;
  Floats weights = draw(kSamples * kTargets, seed + 62, 0.5, 2);
  weights[0] = weights[kTargets] = weights[kTargets + 1] = 0;  // a target, and a sample, that are masked
  const Batch batch{bench.in(draw(kSamples * kColumns, seed + 60), kSamples, kColumns),
                    bench.in(draw(kSamples * kTargets, seed + 61, 2, 4), kSamples, kTargets),
                    bench.in(weights, kSamples, kTargets)};
  double* losses = bench.in(Doubles(static_cast<std::size_t>(kSamples * options.members)));
  subject.f = [&] {
    Pass pass = subject.pass();
    PhaseClock clock(backend);
    for (std::int64_t member = 0; member < model.members(); ++member)
      model.train(pass, member, batch, kScale, losses + member * kSamples, clock);
    const Doubles rows = bench.out(losses, kSamples * options.members);
    return kScale * std::accumulate(rows.begin(), rows.end(), 0.0);
  };
  subject.f();
  return subject.check_parameters();
}

/// Draws anew until no kink is near: a network of a few rectifiers has a good chance each time.
template <class Check>
void must_pass(const Check& check) {
  Verdict verdict = Verdict::kink;
  for (std::uint32_t seed = 1; seed < 40 && verdict == Verdict::kink; ++seed) verdict = check(seed);
  CHECK(verdict == Verdict::right);
}

}  // namespace

TEST_CASE("the backward of every network is the slope of its forward, on every device") {
  for (const auto& backend : backends())
    for (const Network& network : kNetworks) {
      INFO(backend->name() << ", " << network.inputs << " inputs, " << network.layers.size() << " layers, "
                           << (network.layers.empty() ? "" : network.layers.front()));
      must_pass([&](std::uint32_t seed) { return check(*backend, network, seed); });
    }
}

TEST_CASE("whole models have the gradients of their losses on every device") {
  for (const auto& backend : backends())
    for (const ModelOptions& options : kModels)
      for (const bool pinball : {false, true}) {
        INFO(backend->name() << ", " << options.layers.front() << (pinball ? ", pinball" : ", squared"));
        must_pass([&](std::uint32_t seed) { return check(*backend, options, pinball, seed); });
      }
}
