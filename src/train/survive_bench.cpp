#include "rondo/train/survive_bench.hpp"

#include <unistd.h>

#include <filesystem>
#include <optional>

#include "rondo/core/clock.hpp"
#include "rondo/core/error.hpp"
#include "rondo/survive/watchdog.hpp"
#include "rondo/train/compression_choice.hpp"
#include "rondo/train/session.hpp"

namespace rondo {
namespace {

constexpr std::int64_t kWarmUp = 4;  // steps before those of a turn that count

// One trainer for both ways: two of them differ in where their memory lies, by more than what is measured.
class Training {
 public:
  Training(RunConfig config, Communicator& comm, std::int64_t steps)
      : config_(std::move(config)), comm_(comm) {
    together(comm, [&] {
      backend_ = make_backend(config_.device, comm.local_rank(), comm.local_size());
      config_.task->open();
    });
    config_.train.max_steps = steps;
    config_.train.balance = false;  // what is measured must not change meanwhile
    resolve_compression(config_, *backend_, comm);
    trainer_ = std::make_unique<Trainer>(config_, *backend_, comm);
    loader_ = trainer_->loader(0, steps);
    if (config_.agreement.every > 0 && comm.size() > 1 && trainer_->replicated())
      agreement_.emplace([this](StateVisitor& visitor) { trainer_->visit_evidence(visitor); }, comm);
  }

  const RunConfig& config() const { return config_; }

  // Seconds of a block of steps; with `checks`: which ends with a comparison, whose seconds are added to
  // them.
  double block(std::vector<double>* checks) {
    for (std::int64_t i = 0; i < kWarmUp; ++i) step();
    comm_.barrier();
    const double begin = now_s();
    for (std::int64_t i = 0; i < SurviveFigures::kBlockSteps; ++i) step();
    if (checks != nullptr && agreement_) {
      const double checking = now_s();
      if (!agreement_->check()) throw Error("the ranks have different state: " + agreement_->account());
      checks->push_back(now_s() - checking);
    }
    return now_s() - begin;
  }

 private:
  void step() {
    enter_step(trainer_->steps_done());
    enter(Phase::loading);
    const StepData& data = loader_->next();
    trainer_->step(data, loader_.get(), kNoRequest);
  }

  RunConfig config_;
  Communicator& comm_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Trainer> trainer_;
  std::unique_ptr<Loader> loader_;
  std::optional<Agreement> agreement_;
};

// Where heartbeats go.
struct TemporaryFolder {
  std::string path = (std::filesystem::temp_directory_path() / "rondo-bench-XXXXXX").string();
  TemporaryFolder() {
    if (mkdtemp(path.data()) == nullptr)
      input_error("{}: cannot be made; set TMPDIR to a writable folder", path);
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
};

}  // namespace

SurviveFigures bench_survive(const SurviveBench& bench, Communicator& comm, TaskFactory factory) {
  constexpr std::int64_t block = SurviveFigures::kBlockSteps;
  RunConfig config = read_together(comm, bench.config, bench.overrides, {}, factory);
  const std::int64_t every = std::max(config.agreement.every, block), blocks = every / block;
  if (every % block != 0)
    input_error("bench survive: recovery.check_every = {} must be a multiple of {}", every, block);
  Training training(std::move(config), comm, 2 * (bench.rounds + 1) * blocks * (block + kWarmUp));

  std::optional<TemporaryFolder> folder;
  together(comm, [&] { folder.emplace(); });
  SurviveFigures figures;
  figures.round_steps = every;
  for (std::int64_t round = -1; round < bench.rounds; ++round) {  // the first touches all memory: not counted
    double with_s = 0, without_s = 0;
    std::vector<double> checks;
    for (std::int64_t i = 0; i < 2 * blocks; ++i) {
      const bool last = i / 2 + 1 == blocks;
      if (i % 4 == 0 || i % 4 == 3) {  // with, without, without, with: neither gains from its place
        Watchdog watchdog(training.config().watchdog, folder->path, folder->path + "/stacks", comm.rank(),
                          comm.size());
        with_s += training.block(last ? &checks : nullptr);
      } else {
        without_s += training.block(nullptr);
      }
    }
    if (round < 0) continue;
    figures.with_s.push_back(with_s);
    figures.without_s.push_back(without_s);
    figures.checks_s.insert(figures.checks_s.end(), checks.begin(), checks.end());
  }
  return figures;
}

}  // namespace rondo
