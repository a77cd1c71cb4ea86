#include "rondo/train/step_bench.hpp"

#include <algorithm>
#include <cmath>

#include "rondo/core/clock.hpp"
#include "rondo/core/error.hpp"
#include "rondo/train/compression_choice.hpp"
#include "rondo/train/session.hpp"

namespace rondo {
namespace {

constexpr std::int64_t kTracedTurns = 3;
constexpr std::int64_t kMostSteps = 1 << 20;  // where time is the limit

// Steps of a turn that count, those before them, and how many turns each way has.
struct Plan {
  std::int64_t counted = 16, warm_up = 4, turns = 0;
  std::int64_t steps() const { return counted + warm_up; }
};

// Of about `seconds` of two ways, of which a step takes `step_s` seconds together.
Plan plan_of(double seconds, double step_s) {
  constexpr double kLeastTurns = 3, kMostTurns = 1000, kWished = 12;
  Plan plan;
  plan.counted = static_cast<std::int64_t>(
      std::clamp(seconds / kWished / step_s, 1.0, static_cast<double>(plan.counted)));
  plan.warm_up = plan.counted / 4;
  plan.turns = static_cast<std::int64_t>(
      std::clamp(seconds / step_s / static_cast<double>(plan.steps()), kLeastTurns, kMostTurns));
  return plan;
}

// One way to train: a configuration on some ranks.
class Contender {
 public:
  Contender(RunConfig config, Communicator& comm, std::int64_t steps) : config_(std::move(config)) {
    together(comm, [&] {
      backend_ = make_backend(config_.device, comm.local_rank(), comm.local_size());
      config_.task->open();
    });
    config_.train.max_steps = steps;
    config_.train.balance = false;  // what is measured must not change meanwhile
    config_.train.log_every = 1;    // the phases of every step
    resolve_compression(config_, *backend_, comm);
    trainer_ = std::make_unique<Trainer>(config_, *backend_, comm);
    loader_ = trainer_->loader(0, steps);
    figures_.samples = config_.train.global_batch;
    figures_.values = trainer_->model().store().values();
    figures_.peak_flops = peak_of_all(comm);
    figures_.flops = trainer_->model().train_flops() * static_cast<double>(figures_.samples);
  }

  // The first turn touches all memory for the first time: it does not count.
  void turn(const Plan& plan, bool counts, bool traced) {
    for (std::int64_t step = -plan.warm_up; step < plan.counted; ++step) {
      trace() = traced && step >= 0 ? &figures_.spans : nullptr;
      const double begin = now_s();
      const StepData& data = loader_->next();
      const double waited = now_s() - begin;
      StepResult result = trainer_->step(data, loader_.get(), kNoRequest);
      if (step < 0 || !counts) continue;
      result.times.data = waited;
      figures_.times.push_back(result.times);
      const double end = now_s();
      figures_.wall.push_back(end - begin);
      note_span(SpanKind::data, 0, begin, begin + waited);
      note_span(SpanKind::step, trainer_->steps_done() - 1, begin, end);
    }
    trace() = nullptr;
    if (!counts) return;
    std::vector<double> block(figures_.wall.end() - plan.counted, figures_.wall.end());
    figures_.blocks.push_back(median_with_limits(block).median);
  }

  const StepFigures& figures() const { return figures_; }

 private:
  double peak_of_all(Communicator& comm) {
    comm.barrier();  // cores that share power or units measure it together
    const double mine = backend_->peak_flops(precision_of(config_.train.precision));
    std::uint64_t sums[2] = {static_cast<std::uint64_t>(mine), mine > 0 ? 0u : 1u};  // FLOP/s, unknown ones
    comm.sum(sums);
    return sums[1] == 0 ? static_cast<double>(sums[0]) : 0;
  }

  RunConfig config_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Trainer> trainer_;
  std::unique_ptr<Loader> loader_;
  StepFigures figures_;
};

RunConfig share_of(RunConfig config, int ranks) {
  TrainOptions& train = config.train;
  if (train.micro_batches % ranks != 0)
    input_error(
        "--alone: train.micro_batches = {} must be a multiple of the {} ranks, so that one has its share",
        train.micro_batches, ranks);
  train.micro_batches /= ranks;
  train.global_batch /= ranks;
  return config;
}

}  // namespace

MedianWithLimits median_with_limits(std::vector<double> values) {
  std::ranges::sort(values);
  const auto n = static_cast<double>(values.size());
  const auto at = [&](double rank) { return values[static_cast<std::size_t>(std::clamp(rank, 0.0, n - 1))]; };
  const double reach = 0.98 * std::sqrt(n);  // 1.96 standard deviations of a binomial count with p = 1/2
  return {at(std::floor(n / 2)), at(std::floor(n / 2 - reach)), at(std::ceil(n / 2 + reach))};
}

MedianWithLimits step_ratio(const StepFigures& a, const StepFigures& b) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < a.blocks.size(); ++i) ratios.push_back(a.blocks[i] / b.blocks[i]);
  return median_with_limits(ratios);
}

std::vector<StepFigures> bench_step(const StepBench& bench, Communicator& comm, TaskFactory factory) {
  const bool timed = bench.seconds > 0;
  Plan plan;
  plan.turns = (bench.steps + plan.counted - 1) / plan.counted;
  const std::int64_t steps = timed ? kMostSteps : (plan.turns + 1) * plan.steps();
  const auto read = [&](const std::vector<std::string>& more) {
    return read_together(comm, bench.config, bench.overrides, more, factory);
  };
  std::unique_ptr<Communicator> alone;  // outlives who trains on it
  std::vector<std::unique_ptr<Contender>> contenders;
  contenders.push_back(std::make_unique<Contender>(read({}), comm, steps));
  if (bench.alone) {
    RunConfig config = read(bench.against);
    together(comm, [&] { config = share_of(std::move(config), comm.size()); });
    alone = Communicator::alone(comm.timeout_s());
    if (comm.rank() == 0) contenders.push_back(std::make_unique<Contender>(std::move(config), *alone, steps));
  } else if (!bench.against.empty()) {
    contenders.push_back(std::make_unique<Contender>(read(bench.against), comm, steps));
  }
  const std::size_t ways = bench.alone || !bench.against.empty() ? 2 : 1;
  const auto take_turns = [&](const Plan& p, bool counts, bool traced) {
    for (std::size_t way = 0; way < ways; ++way) {
      comm.barrier();  // ranks without a part in this turn sleep at the next one
      if (way < contenders.size()) contenders[way]->turn(p, counts, way == 0 && traced);
    }
  };
  if (timed) {
    take_turns({.counted = 1, .warm_up = 1}, false, false);
    const double begin = now_s();
    take_turns({.counted = 1, .warm_up = 0}, false, false);
    std::uint64_t nanoseconds = comm.rank() == 0 ? static_cast<std::uint64_t>((now_s() - begin) * 1e9) : 0;
    comm.sum({&nanoseconds, 1});
    plan = plan_of(bench.seconds, static_cast<double>(nanoseconds) * 1e-9);
  } else {
    take_turns(plan, false, false);
  }
  for (std::int64_t turn = 0; turn < plan.turns; ++turn)
    take_turns(plan, true, turn >= plan.turns - kTracedTurns);
  comm.barrier();
  std::vector<StepFigures> figures;
  for (const auto& contender : contenders) figures.push_back(contender->figures());
  return figures;
}

}  // namespace rondo
