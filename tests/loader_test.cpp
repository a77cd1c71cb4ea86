// The loader: the batches of every step in order, whoever fetches them, and a thread that sleeps where it has
// no core to run on.
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "catch.hpp"
#include "rondo/core/error.hpp"
#include "rondo/data/dataset.hpp"

using namespace rondo;

namespace {

constexpr double kNever = 0, kAlways = 10;  // seconds: when the caller fetches

/// Sample i has the input i. Notes which threads read.
struct Numbers final : Dataset {
  std::int64_t size() const override { return 53; }
  std::int64_t inputs() const override { return 1; }
  std::int64_t targets() const override { return 1; }
  void get(std::int64_t i, std::span<float> input, std::span<float> target,
           std::span<float> weight) const override {
    if (std::this_thread::get_id() == caller) ++by_caller;
    if (i == broken) throw Error("sample is broken");
    std::this_thread::sleep_for(std::chrono::microseconds(slow_us));
    input[0] = static_cast<float>(i);
    target[0] = weight[0] = 1;
  }
  const std::thread::id caller = std::this_thread::get_id();
  mutable std::atomic<int> by_caller = 0;
  std::atomic<int> slow_us = 0;
  std::int64_t broken = -1;
};

const Sampler kSampler{.seed = 7, .size = 53, .global_batch = 8};
constexpr std::int64_t kRows = 2;

std::int64_t sample_at(std::int64_t step, std::int64_t position) {
  std::int64_t sample = 0;
  kSampler.order(step, position, {&sample, 1});
  return sample;
}

std::unique_ptr<Loader> loader(const Dataset& data, std::int64_t last, double quick_s) {
  return std::make_unique<Loader>(data, kSampler, 0, last, 1, 3, kRows, *std::pmr::new_delete_resource(),
                                  quick_s);
}

void check(const StepData& data, std::int64_t step, std::int64_t begin, std::int64_t end) {
  REQUIRE(std::ssize(data) == end - begin);
  for (std::int64_t m = begin; m < end; ++m) {
    const HostBatch& batch = data[static_cast<std::size_t>(m - begin)];
    CHECK((batch.step == step && batch.micro_batch == m && batch.rows == kRows));
    for (std::int64_t r = 0; r < kRows; ++r) {
      const std::int64_t sample = sample_at(step, m * kRows + r);
      CHECK(batch.inputs[static_cast<std::size_t>(r)] ==
            static_cast<float>(std::max<std::int64_t>(sample, 0)));
      CHECK(batch.weights[static_cast<std::size_t>(r)] == (sample < 0 ? 0 : 1));
    }
  }
}

std::string complaint(Loader& steps, double timeout_s) {
  try {
    steps.next(timeout_s);
    return "none";
  } catch (const Error& e) {
    return e.what();
  }
}

long switches() {
  rusage use{};
  getrusage(RUSAGE_SELF, &use);
  return use.ru_nvcsw;
}

}  // namespace

TEST_CASE("steps arrive in order, with and without a look ahead, and as assigned") {
  for (const double quick_s : {kNever, kAlways}) {
    for (const bool looks : {false, true}) {
      const Numbers data;
      const auto steps = loader(data, 40, quick_s);
      for (std::int64_t step = 0; step < 40; ++step) {
        if (step == 20) steps->assign(20, 0, 4);
        const StepData& now = steps->next(30);
        if (const StepData* ahead = looks ? steps->ahead() : nullptr; ahead != nullptr) {
          CHECK(step < 39);
          CHECK(ahead->front().step == step + 1);
        }
        check(now, step, step < 20 ? 1 : 0, step < 20 ? 3 : 4);
      }
      CHECK(steps->ahead() == nullptr);
      CHECK(complaint(*steps, 0.01).starts_with("no data for 0.01 s"));
      if (quick_s == kNever) CHECK(data.by_caller == 0);
    }
  }
}

TEST_CASE("the thread is not woken for what is quickly fetched") {
  constexpr std::int64_t kSteps = 2000;
  long switched[2] = {};
  for (const bool by_caller : {false, true}) {
    const Numbers data;
    const auto steps = loader(data, kSteps, by_caller ? kAlways : kNever);
    const long before = switches();
    for (std::int64_t step = 0; step < kSteps; ++step) check(steps->next(30), step, 1, 3);
    switched[by_caller] = switches() - before;
  }
  INFO(switched[0] << " and " << switched[1] << " context switches");
  CHECK(switched[1] < kSteps / 20);
  CHECK(switched[1] < switched[0]);
}

TEST_CASE("what takes long is left to the thread again") {
  Numbers data;
  const auto steps = loader(data, 1000, 2e-3);
  std::int64_t step = 0;
  const auto go_on = [&](auto until) {
    for (; !until(); ++step) {
      REQUIRE(step < 1000);
      check(steps->next(30), step, 1, 3);
    }
  };
  go_on([&] { return data.by_caller > 0; });
  data.slow_us = 1000;  // 4 samples a step
  go_on([&, quick = step + 4] { return step == quick; });
  const int fetched = data.by_caller;
  go_on([&, end = step + 10] { return step == end; });
  CHECK(data.by_caller == fetched);
  data.slow_us = 0;
  go_on([&] { return data.by_caller > fetched; });
}

TEST_CASE("a sample that cannot be read ends the step that has it") {
  for (const double quick_s : {kNever, kAlways}) {
    Numbers data;
    data.broken = sample_at(5, 3);
    const auto steps = loader(data, 40, quick_s);
    for (std::int64_t step = 0; step < 5; ++step) {
      check(steps->next(30), step, 1, 3);
      steps->ahead();
    }
    for (int again = 0; again < 2; ++again) CHECK(complaint(*steps, 30) == "sample is broken");
  }
}
