// Predictions in cases that can be worked out by hand.
#include "rondo/train/scale_model.hpp"

#include "catch.hpp"
#include "rondo/core/error.hpp"

using namespace rondo;

namespace {

constexpr double kMiB = 1 << 20;

Machine machine() {
  Machine m;
  m.shared = {1e-6, 1e-10, 0.1};
  m.shared_ranks = 2;
  m.message = {5e-6, 1e-10, 0.2};
  return m;
}

Cluster cluster(const std::string& algorithm, int ranks_per_node, double per_byte) {
  Cluster c;
  c.ranks_per_node = ranks_per_node;
  c.link = {1e-5, per_byte, 0};
  c.algorithm = algorithm;
  return c;
}

// Two buckets of 1 MiB, the second ready when backward ends after 10 ms.
StepProfile profile() {
  StepProfile p;
  p.compression = "none";
  p.buckets = {{kMiB, 5e-3}, {kMiB, 10e-3}};
  p.values = 2 * kMiB / 4;
  p.micro_batches = 1;
  p.samples = 32;
  p.computed = 10e-3;
  p.step = 11e-3;
  p.optimizer = 0.5e-3;
  return p;
}

}  // namespace

TEST_CASE("a line is found again, whatever the sizes, and has no negative latency") {
  const LinkCost line =
      fit_line({{1e3, 2e-6 + 1e3 * 1e-9}, {1e5, 2e-6 + 1e5 * 1e-9}, {1e7, 2e-6 + 1e7 * 1e-9}});
  CHECK(line.latency == Approx(2e-6));
  CHECK(line.per_byte == Approx(1e-9));
  CHECK(line.error == Approx(0).margin(1e-9));
  const LinkCost curved = fit_line({{1e3, 1e-6}, {1e4, 2e-5}, {1e5, 3e-4}});
  CHECK(curved.latency >= 0);
  CHECK(curved.error > 0.05);
}

TEST_CASE("a long ring takes 2 (n - 1) / n of the bytes, a short one 2 (n - 1) latencies") {
  const Machine m = machine();
  for (const int n : {2, 4, 64}) {
    const Cluster c = cluster("ring", 1, 1e-8);
    CHECK(sum_cost(m, c, n, 1e9).total() == Approx(2.0 * (n - 1) / n * 1e9 * 1e-8));
    CHECK(sum_cost(m, c, n, n).total() == Approx(2.0 * (n - 1) * 15e-6).epsilon(0.01));
  }
  CHECK(sum_cost(m, cluster("ring", 1, 1e-8), 1, 1e9).total() == 0);
}

TEST_CASE("ranks of one node share its link") {
  const Machine m = machine();
  // All bytes cross once in each direction for two nodes, whatever the number of lanes; a flat ring of four
  // needs 3/2 of them.
  const SumCost lanes = sum_cost(m, cluster("hierarchical", 4, 1e-8), 8, 64 * kMiB);
  CHECK(lanes.rounds * lanes.round == Approx(64 * kMiB * 1e-8));
  CHECK(lanes.work == Approx(2e-6 + 64 * kMiB * 1e-10));
  CHECK(sum_cost(m, cluster("ring", 2, 1e-8), 4, 64 * kMiB).total() == Approx(1.5 * 64 * kMiB * 1e-8));
  // Recursive doubling of four ranks on two nodes: one round within, one across for two ranks at once.
  CHECK(sum_cost(m, cluster("tree", 2, 1e-8), 4, 1000).total() ==
        Approx(5e-6 + 1000 * 1e-10 + 15e-6 + 1000 * 2e-8));
}

TEST_CASE("auto takes the cheapest: trees for small messages, rings for large ones, memory on one node") {
  const Machine m = machine();
  const auto cost = [&](const char* name, double bytes) {
    return sum_cost(m, cluster(name, 1, 1e-8), 16, bytes).total();
  };
  CHECK(cost("auto", 100) == cost("tree", 100));
  CHECK(cost("auto", 100) < cost("ring", 100) / 5);
  CHECK(cost("auto", 64 * kMiB) == Approx(cost("ring", 64 * kMiB)));
  CHECK(sum_cost(m, cluster("auto", 16, 1e-8), 16, kMiB).total() == Approx(8e-6 + kMiB * 1e-10));
  CHECK_THROWS_AS(sum_cost(m, cluster("shared", 4, 1e-8), 8, kMiB), InputError);
}

TEST_CASE("what fits behind backward is hidden, the rest is exposed") {
  const Machine m = machine();
  const StepProfile p = profile();
  // A bucket takes 1 ms. Of the first one half goes at once, the other when the rank looks again, at 10 ms.
  const Prediction fast = predict_step(m, p, cluster("ring", 1, 1e-3 / kMiB), 2, 0);
  CHECK(fast.exposed == Approx(1.5e-3).epsilon(0.05));
  CHECK(fast.step == Approx(12.5e-3).epsilon(0.02));
  CHECK(fast.efficiency == Approx(11.0 / 12.5).epsilon(0.02));
  // A bucket takes 20 ms. Its first half has gone after 10, when backward ends at 10: nothing moved it on
  // from 5 to 10 but its own first message, which has 10 ms to go from 5.
  const Prediction slow = predict_step(m, p, cluster("ring", 1, 20e-3 / kMiB), 2, 0);
  CHECK(slow.step == Approx(1e-3 + 45e-3).epsilon(0.02));
  const Prediction alone = predict_step(m, p, cluster("ring", 1, 1e-8), 1, 0);
  CHECK(alone.step == 11e-3);
  CHECK(alone.efficiency == 1);
}

TEST_CASE("an idle link lets a burst through, and slower cores take longer") {
  const Machine m = machine();
  const StepProfile p = profile();
  Cluster c = cluster("ring", 1, 20e-3 / kMiB);
  const double plain = predict_step(m, p, c, 2, 0).step;
  c.burst = kMiB / 8;
  CHECK(predict_step(m, p, c, 2, 0).step == Approx(plain - 2.5e-3));
  c.slowdown = 2;
  CHECK(predict_step(m, p, c, 1, 0).step == Approx(22e-3));
}

TEST_CASE("the slowest of many, the margin, and codes of many lanes") {
  CHECK(expected_maximum(1) == 0);
  CHECK(expected_maximum(2) == Approx(0.5642).epsilon(0.06));  // exact values: Harter 1961
  CHECK(expected_maximum(100) == Approx(2.5076).epsilon(0.01));
  const Machine m = machine();
  StepProfile p = profile();
  Cluster c = cluster("ring", 1, 0);
  c.link = {};
  const Prediction exact = predict_step(m, p, c, 2, 0), checked = predict_step(m, p, c, 2, -0.3);
  CHECK(exact.margin == Approx(0.2 * exact.exposed));
  CHECK(checked.margin == Approx(std::hypot(0.2 * exact.exposed, 0.3 * exact.step)));
  // Where the link decides, what was measured of messages is a small part, and so is its error.
  const Prediction slow = predict_step(m, p, cluster("ring", 1, 1e-6), 2, -0.3);
  CHECK(slow.margin < checked.margin + 0.02 * slow.exposed);
  CHECK(slow.margin > 0.9 * checked.margin);
  p.spread = 1e-3;
  CHECK(predict_step(m, p, c, 100, 0).skew == Approx(2.5076e-3).epsilon(0.01));
  // int8 of up to 18 lanes takes 8 bits, of more 10 (README).
  p.compression = "int8";
  const auto bytes = [&](int n) { return predict_step(m, p, cluster("ring", 1, 1e-6), n, 0).exposed; };
  CHECK(bytes(32) / bytes(16) > 1.25);
}
