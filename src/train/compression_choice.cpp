#include "rondo/train/compression_choice.hpp"

#include <algorithm>
#include <memory>
#include <utility>

#include "rondo/core/clock.hpp"
#include "rondo/core/error.hpp"
#include "rondo/train/step_bench.hpp"
#include "rondo/train/trainer.hpp"

namespace rondo {
namespace {

constexpr std::int64_t kWarmUp = 2, kLeast = 3, kMost = 2000;  // steps of each way
constexpr double kAtLeast = 0.5;   // seconds of the trial: a shorter one may be all in one mood of the host
constexpr double kEnough = 3;      // not longer, kLeast steps apart, even if the difference is not clear
constexpr double kWorthIt = 0.99;  // of plain's time: what is sent in full needs no second thought

// One way to train, and how long its steps take.
class Way {
 public:
  Way(RunConfig& config, const std::string& compression, Backend& backend, Communicator& comm) : comm_(comm) {
    config.exchange.compression = compression;
    trainer_ = std::make_unique<Trainer>(config, backend, comm);
    loader_ = trainer_->loader(0, kWarmUp + kMost);
  }

  /// Seconds of a step on the slowest rank: the same number on every rank.
  double step() {
    const StepData& data = loader_->next();
    comm_.barrier();
    const double begin = now_s();
    trainer_->step(data, nullptr, kNoRequest);
    std::vector<std::uint64_t> nanoseconds(static_cast<std::size_t>(comm_.size()));
    nanoseconds[static_cast<std::size_t>(comm_.rank())] = static_cast<std::uint64_t>((now_s() - begin) * 1e9);
    comm_.sum(nanoseconds);
    return static_cast<double>(*std::ranges::max_element(nanoseconds)) * 1e-9;
  }

 private:
  Communicator& comm_;
  std::unique_ptr<Trainer> trainer_;
  std::unique_ptr<Loader> loader_;
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
  const bool balance = std::exchange(config.train.balance, false);  // loaders would not follow
  Way plain(config, "none", backend, comm), compressed(config, "int8", backend, comm);
  std::vector<double> plain_s, compressed_s, ratios;  // of neighbouring steps: the host's moods hit both
  double spent = 0;
  MedianWithLimits ratio;
  for (std::int64_t step = -kWarmUp; step < kMost; ++step) {
    const double without = plain.step(), with = compressed.step();
    if (step < 0) continue;
    plain_s.push_back(without);
    compressed_s.push_back(with);
    ratios.push_back(with / without);
    spent += without + with;
    if (step + 1 < kLeast || (spent < kAtLeast && step + 1 < kMost)) continue;
    ratio = median_with_limits(ratios);
    if (spent > kEnough || ratio.high < kWorthIt || ratio.low > kWorthIt) break;
  }
  config.train.balance = balance;
  choice = ratio.median < kWorthIt ? "int8" : "none";
  return fmt::format(
      "exchange.compression = \"{}\": a step takes {:.4g} ms with int8 and {:.4g} ms with none, {:.3f} x the "
      "time (95 % limits {:.3f} to {:.3f}), medians of {} steps each before the first",
      choice, median_with_limits(compressed_s).median * 1e3, median_with_limits(plain_s).median * 1e3,
      ratio.median, ratio.low, ratio.high, ratios.size());
}

}  // namespace rondo
