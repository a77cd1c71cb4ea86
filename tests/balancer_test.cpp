// Shares of micro-batches on made-up clocks.
#include "rondo/survive/balancer.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <numeric>
#include <sstream>

#include "catch.hpp"
#include "rondo/core/philox.hpp"

using namespace rondo;

namespace {

using Shares = std::vector<std::int64_t>;

struct Clock {
  std::vector<double> cost;  ///< seconds a micro-batch
  double noise = 0.05;       ///< about one in 50 steps also takes three times as long
  std::uint32_t seed = 1;

  std::vector<float> step(std::span<const std::int64_t> shares, std::int64_t number) const {
    std::vector<float> seconds;
    for (std::size_t r = 0; r < cost.size(); ++r) {
      const RandomStream stream{seed, Purpose::test, static_cast<std::uint32_t>(r), 0};
      const auto n = static_cast<std::uint64_t>(number);
      const double factor = std::exp(noise * static_cast<double>(stream.normal(2 * n)));
      const double spike = stream.uniform(2 * n + 1) < 0.02f ? 3 : 1;
      seconds.push_back(static_cast<float>(cost[r] * static_cast<double>(shares[r]) * factor * spike));
    }
    return seconds;
  }
};

bool observe(Balancer& balancer, const std::vector<float>& seconds) {
  return balancer.observe(seconds, static_cast<double>(std::ranges::max(seconds)));
}

double slowest(std::span<const std::int64_t> shares, const std::vector<double>& cost) {
  double most = 0;
  for (std::size_t r = 0; r < cost.size(); ++r)
    most = std::max(most, static_cast<double>(shares[r]) * cost[r]);
  return most;
}

// The quickest slowest rank of all shares of so many among three ranks, by trying.
double best_of_three(std::int64_t micro_batches, const std::vector<double>& cost) {
  double best = 1e300;
  for (std::int64_t a = 1; a < micro_batches - 1; ++a)
    for (std::int64_t b = 1; a + b < micro_batches; ++b) {
      const Shares shares = {a, b, micro_batches - a - b};
      best = std::min(best, slowest(shares, cost));
    }
  return best;
}

// [step][rank]: seconds of a micro-batch on two ranks that had as many each.
std::vector<std::array<double, 2>> recorded() {
  const char* source = std::getenv("RONDO_SOURCE");
  REQUIRE(source != nullptr);
  std::ifstream file(std::string(source) + "/tests/even_load.txt");
  std::vector<std::array<double, 2>> steps;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("#")) continue;
    std::istringstream numbers(line);
    double first = 0, second = 0;
    numbers >> first >> second;
    steps.push_back({first * 1e-6 / 8, second * 1e-6 / 8});
  }
  return steps;
}

}  // namespace

TEST_CASE("a recorded even load of ten thousand steps is left alone; three times as slow is noticed") {
  const auto steps = recorded();
  REQUIRE(steps.size() == 10000);
  const auto at = [&](std::size_t step, const Balancer& balancer, double times) {
    return std::vector<float>{
        static_cast<float>(steps[step][0] * static_cast<double>(balancer.shares()[0])),
        static_cast<float>(steps[step][1] * static_cast<double>(balancer.shares()[1]) * times)};
  };
  Balancer even(16, 2);
  int changes = 0;
  for (std::size_t step = 0; step < steps.size(); ++step) changes += observe(even, at(step, even, 1));
  CHECK(changes == 0);
  int late = 0, wrong = 0;
  for (std::size_t from = 50; from + 700 < steps.size(); from += 97) {
    Balancer balancer(16, 2);
    for (std::size_t step = from - 50; step < from; ++step) observe(balancer, at(step, balancer, 1));
    std::size_t noticed = from;
    while (!observe(balancer, at(noticed++, balancer, 3))) continue;
    late += noticed - from > 5;
    for (std::size_t step = noticed; step < from + 700; ++step) observe(balancer, at(step, balancer, 3));
    wrong += balancer.shares()[0] < 11 || balancer.shares()[0] > 13;
  }
  CHECK(late == 0);
  CHECK(wrong == 0);
}

TEST_CASE("an even load is left alone for ten thousand steps") {
  for (const int ranks : {2, 4, 7})
    for (const std::int64_t micro_batches : {16, 28, 64}) {
      Balancer balancer(micro_batches, ranks);
      const Clock clock{std::vector<double>(static_cast<std::size_t>(ranks), 0.01)};
      int changes = 0;
      for (std::int64_t step = 0; step < 10000; ++step)
        changes += observe(balancer, clock.step(balancer.shares(), step)) || balancer.burden();
      CAPTURE(ranks, micro_batches);
      CHECK(changes == 0);
    }
}

TEST_CASE("a rank three times as slow is noticed within five steps, and shares end near the best") {
  for (const std::int64_t micro_batches : {16, 24, 100})
    for (std::size_t victim = 0; victim < 3; ++victim) {
      CAPTURE(micro_batches, victim);
      Balancer balancer(micro_batches, 3);
      Clock clock{{0.01, 0.01, 0.01}};
      for (std::int64_t step = 0; step < 50; ++step)
        CHECK_FALSE(observe(balancer, clock.step(balancer.shares(), step)));
      clock.cost[victim] = 0.03;
      std::int64_t noticed = 0, last = 0;
      int changes = 0;
      for (std::int64_t step = 1; step <= 1000; ++step) {
        if (!observe(balancer, clock.step(balancer.shares(), 50 + step))) continue;
        if (++changes == 1) noticed = step;
        last = step;
        CHECK(std::accumulate(balancer.shares().begin(), balancer.shares().end(), std::int64_t{0}) ==
              micro_batches);
      }
      CHECK((noticed > 0 && noticed <= 5));
      CHECK(changes <= 5);
      CHECK(last <= 3 * 256);
      CHECK(slowest(balancer.shares(), clock.cost) <= best_of_three(micro_batches, clock.cost) * 1.12);

      clock.cost[victim] = 0.01;  // it has recovered
      for (std::int64_t step = 1100; step < 2000; ++step)
        observe(balancer, clock.step(balancer.shares(), step));
      CHECK(slowest(balancer.shares(), clock.cost) <= best_of_three(micro_batches, clock.cost) * 1.12);
    }
}

TEST_CASE("what a slow rank does beside its micro-batches is found by trial") {
  const Clock clock{{0.01, 0.03}};
  const auto best_after = [&](const std::vector<double>& beside) {
    Balancer balancer(16, 2);
    const auto length = [&](std::span<const std::int64_t> shares, std::span<const float> seconds) {
      double most = 0;
      for (std::size_t r = 0; r < 2; ++r) {
        const double own = static_cast<double>(shares[r]) * clock.cost[r];
        most = std::max(most, beside[r] + (seconds.empty() ? own : static_cast<double>(seconds[r])));
      }
      return most;
    };
    std::int64_t last = 0;
    for (std::int64_t step = 0; step < 5000; ++step) {
      const std::vector<float> seconds = clock.step(balancer.shares(), step);
      if (balancer.observe(seconds, length(balancer.shares(), seconds))) last = step;
    }
    CHECK(last < 1000);
    double best = 1e300;
    for (std::int64_t n = 1; n < 16; ++n) best = std::min(best, length(Shares{n, 16 - n}, {}));
    CHECK(length(balancer.shares(), {}) == best);
    return Shares(balancer.shares().begin(), balancer.shares().end());
  };
  CHECK(best_after({0, 0}) == Shares{12, 4});
  CHECK(best_after({0.01, 0.015}) == Shares{12, 4});
  CHECK(best_after({0.01, 0.05}) == Shares{13, 3});
  CHECK(best_after({0.01, 0.09}) == Shares{14, 2});
}

TEST_CASE("a rank that stands still now and then is slow, too") {
  Balancer balancer(16, 2);  // as a quota does it: five quick steps, then one of ten times the length
  for (std::int64_t step = 0; step < 600; ++step) {
    const double stall = step % 6 == 5 ? 10 : 1;
    observe(balancer, {static_cast<float>(0.001 * static_cast<double>(balancer.shares()[0])),
                       static_cast<float>(0.001 * stall * static_cast<double>(balancer.shares()[1]))});
  }
  CHECK(balancer.shares()[0] >= 11);  // 11.4 of 16 would be even
}

TEST_CASE("the others are to do without a rank only if it holds them up for long") {
  const auto steps_until = [](double times, std::int64_t from, std::int64_t to) {
    Balancer balancer(16, 4);
    for (std::int64_t step = 0; step < 4000; ++step) {
      Clock clock{{0.01, 0.01, 0.01, 0.01}};
      if (step >= from && step < to) clock.cost[2] *= times;
      observe(balancer, clock.step(balancer.shares(), step));
      if (balancer.burden()) {
        CHECK(balancer.burden() == 2);
        CHECK(std::abs(balancer.times_as_long() - times) < 0.1 * times);
        return step - from;
      }
    }
    return std::int64_t{-1};
  };
  const std::int64_t took = steps_until(10, 100, 4000);  // 15 of 16 on three ranks: 5 or 6, not 10
  CHECK(took > 2 * 256);
  CHECK(took <= 4 * 256);
  CHECK(steps_until(3, 100, 4000) == -1);  // all 16 on three ranks would take longer: 6, not 5
  CHECK(steps_until(7, 100, 4000) == -1);  // shorter, but not much: 6, not 7
  CHECK(steps_until(50, 100, 600) == -1);  // it has recovered
}

TEST_CASE("where every rank has one micro-batch there is nothing to move") {
  Balancer balancer(4, 4);
  const Clock clock{{0.01, 0.09, 0.01, 0.01}};
  for (std::int64_t step = 0; step < 20; ++step)
    CHECK_FALSE(observe(balancer, clock.step(balancer.shares(), step)));
}

TEST_CASE("the account says who is slow") {
  Balancer balancer(16, 2);
  const std::vector<float> seconds = {0.08f, 0.24f};
  std::size_t steps = 1;
  while (!observe(balancer, seconds)) ++steps;
  CHECK(steps == Balancer::kWarmUp + Balancer::kGlance);
  CHECK(balancer.account() == "8 8 -> 12 4 micro-batches; one takes 10 30 ms");
}
