#include "rondo/train/step_bench.hpp"

#include <algorithm>
#include <cmath>

#include "rondo/core/clock.hpp"
#include "rondo/core/error.hpp"
#include "rondo/train/compression_choice.hpp"
#include "rondo/train/session.hpp"

namespace rondo {
namespace {

constexpr std::int64_t kBlockSteps = 16, kWarmUp = 4;  // steps of a turn that count, and before them
constexpr std::int64_t kTracedTurns = 3;
constexpr double kDataTimeout = 600;

// One way to train: a configuration on some ranks.
class Contender {
 public:
  Contender(RunConfig config, Communicator& comm, std::int64_t turns) : config_(std::move(config)) {
    together(comm, [&] {
      backend_ = make_backend(config_.device, comm.local_rank(), comm.local_size());
      config_.task->open();
    });
    const std::int64_t steps = (turns + 1) * (kBlockSteps + kWarmUp);
    config_.train.max_steps = steps;
    config_.train.balance = false;  // what is measured must not change meanwhile
    config_.train.log_every = 1;    // the phases of every step
    resolve_compression(config_, *backend_, comm);
    trainer_ = std::make_unique<Trainer>(config_, *backend_, comm);
    const Assignment mine = trainer_->assigned();
    loader_ = std::make_unique<Loader>(config_.task->dataset(Split::train), trainer_->sampler(), 0, steps,
                                       mine.begin, mine.end, trainer_->batch_rows(), backend_->host_memory());
    figures_.samples = config_.train.global_batch;
    figures_.values = trainer_->model().store().values();
    figures_.peak_flops = peak_of_all(comm);
    figures_.flops = trainer_->model().train_flops() * static_cast<double>(figures_.samples);
  }

  // The first turn touches all memory for the first time: it does not count.
  void turn(bool counts, bool traced) {
    for (std::int64_t step = -kWarmUp; step < kBlockSteps; ++step) {
      trace() = traced && step >= 0 ? &figures_.spans : nullptr;
      const double begin = now_s();
      const StepData& data = loader_->next(kDataTimeout);
      const double waited = now_s() - begin;
      StepResult result = trainer_->step(data, loader_->ahead(), kNoRequest);
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
    std::vector<double> block(figures_.wall.end() - kBlockSteps, figures_.wall.end());
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

std::vector<StepFigures> bench_step(const StepBench& bench, Communicator& comm, TaskFactory factory) {
  const std::int64_t turns = (bench.steps + kBlockSteps - 1) / kBlockSteps;
  const auto read = [&](const std::vector<std::string>& more) {
    return read_together(comm, bench.config, bench.overrides, more, factory);
  };
  std::unique_ptr<Communicator> alone;  // outlives who trains on it
  std::vector<std::unique_ptr<Contender>> contenders;
  contenders.push_back(std::make_unique<Contender>(read({}), comm, turns));
  if (bench.alone) {
    RunConfig config = read(bench.against);
    together(comm, [&] { config = share_of(std::move(config), comm.size()); });
    alone = Communicator::alone(comm.timeout_s());
    if (comm.rank() == 0) contenders.push_back(std::make_unique<Contender>(std::move(config), *alone, turns));
  } else if (!bench.against.empty()) {
    contenders.push_back(std::make_unique<Contender>(read(bench.against), comm, turns));
  }
  const std::size_t ways = bench.alone || !bench.against.empty() ? 2 : 1;
  for (std::int64_t turn = -1; turn < turns; ++turn)
    for (std::size_t way = 0; way < ways; ++way) {
      comm.barrier();  // ranks without a part in this turn sleep at the next one
      if (way < contenders.size())
        contenders[way]->turn(turn >= 0, way == 0 && turn >= std::max<std::int64_t>(0, turns - kTracedTurns));
    }
  comm.barrier();
  std::vector<StepFigures> figures;
  for (const auto& contender : contenders) figures.push_back(contender->figures());
  return figures;
}

}  // namespace rondo
