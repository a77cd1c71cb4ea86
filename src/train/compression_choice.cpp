#include "rondo/train/compression_choice.hpp"

#include <algorithm>
#include <memory>

#include "rondo/core/clock.hpp"
#include "rondo/core/error.hpp"
#include "rondo/train/trainer.hpp"

namespace rondo {
namespace {

constexpr std::int64_t kWarmUp = 2, kLeast = 3, kMost = 24;  // steps of each way
constexpr double kEnough = 2;         // seconds of the trial: no more steps than kLeast after that
constexpr double kDataTimeout = 600;  // seconds
constexpr double kWorthIt = 0.97;     // of plain's time: what is sent in full needs no second thought

// One way to train, and how long its steps take.
class Way {
 public:
  Way(RunConfig& config, const std::string& compression, Backend& backend, Communicator& comm) : comm_(comm) {
    config.exchange.compression = compression;
    trainer_ = std::make_unique<Trainer>(config, backend, comm);
    const Assignment mine = trainer_->assigned();
    loader_ = std::make_unique<Loader>(config.task->dataset(Split::train), trainer_->sampler(), 0,
                                       kWarmUp + kMost, mine.begin, mine.end, trainer_->batch_rows());
  }

  /// Seconds of a step on the slowest rank: the same number on every rank.
  double step(bool counts) {
    const StepData& data = loader_->next(kDataTimeout);
    comm_.barrier();
    const double begin = now_s();
    trainer_->step(data, nullptr, kNoRequest);
    std::vector<std::uint64_t> nanoseconds(static_cast<std::size_t>(comm_.size()));
    nanoseconds[static_cast<std::size_t>(comm_.rank())] = static_cast<std::uint64_t>((now_s() - begin) * 1e9);
    comm_.sum(nanoseconds);
    const double seconds = static_cast<double>(*std::ranges::max_element(nanoseconds)) * 1e-9;
    if (counts) times_.push_back(seconds);
    return seconds;
  }

  double median() {
    const auto middle = times_.begin() + static_cast<std::ptrdiff_t>(times_.size() / 2);
    std::ranges::nth_element(times_, middle);
    return *middle;
  }
  std::size_t steps() const { return times_.size(); }

 private:
  Communicator& comm_;
  std::unique_ptr<Trainer> trainer_;
  std::unique_ptr<Loader> loader_;
  std::vector<double> times_;
};

std::string why_not(const RunConfig& config, const Backend& backend, const Communicator& comm) {
  if (comm.size() == 1) return "one rank has nobody to send gradients to";
  if (!backend.reads_host_memory()) return "it is for ranks on CPUs so far";
  if (comm.single_node()) return "all ranks share memory";
  if (config.spares.count > 0) return "a spare rank has no lane of its own";
  if (config.exchange.arithmetic != "exact") return "it needs exchange.arithmetic = \"exact\"";
  return "";
}

}  // namespace

std::string resolve_compression(RunConfig& config, Backend& backend, Communicator& comm) {
  std::string& choice = config.exchange.compression;
  if (choice != "auto") return "";
  choice = "none";
  if (const std::string reason = why_not(config, backend, comm); !reason.empty())
    return fmt::format("exchange.compression = \"none\": {}", reason);
  Way plain(config, "none", backend, comm), compressed(config, "int8", backend, comm);
  double spent = 0;
  for (std::int64_t step = -kWarmUp; step < kLeast || (step < kMost && spent < kEnough); ++step)
    spent += plain.step(step >= 0) + compressed.step(step >= 0);
  choice = compressed.median() < kWorthIt * plain.median() ? "int8" : "none";
  return fmt::format(
      "exchange.compression = \"{}\": a step takes {:.4g} ms with int8 and {:.4g} ms with none, medians of "
      "{} "
      "steps each before the first",
      choice, compressed.median() * 1e3, plain.median() * 1e3, plain.steps());
}

}  // namespace rondo
