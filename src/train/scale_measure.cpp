#include "rondo/train/scale_measure.hpp"

#include <algorithm>
#include <numeric>

#include "rondo/core/clock.hpp"
#include "rondo/core/error.hpp"
#include "rondo/device/simd.hpp"
#include "rondo/train/session.hpp"
#include "rondo/train/step_trace.hpp"

namespace rondo {
namespace {

constexpr std::size_t kLeast = 1 << 12, kMost = 1 << 22;  // bytes, by factors of 4: what buckets have
constexpr int kRounds = 15;
constexpr double kEnough = 3;  // seconds of one algorithm: no larger size after that

double median(std::vector<double> values) { return median_with_limits(std::move(values)).median; }

// The median of rounds of the slowest rank; the same on every rank. Ranks prepare and meet before each.
double time_of(Communicator& comm, const std::function<void()>& prepare, const std::function<void()>& work) {
  std::vector<double> times;
  for (int round = -2; round < kRounds; ++round) {
    prepare();
    comm.barrier();
    const double begin = now_s();
    work();
    std::vector<std::uint64_t> nanoseconds(static_cast<std::size_t>(comm.size()));
    nanoseconds[static_cast<std::size_t>(comm.rank())] = static_cast<std::uint64_t>((now_s() - begin) * 1e9);
    comm.sum(nanoseconds);
    if (round >= 0) times.push_back(static_cast<double>(*std::ranges::max_element(nanoseconds)) * 1e-9);
  }
  return median(times);
}

// (bytes, seconds) of all-reduces.
std::vector<std::pair<double, double>> times_of(const char* algorithm, Communicator& comm) {
  const std::unique_ptr<Transport> transport = make_transport(algorithm, comm);
  const Arena arena = transport->allocate(kMost / sizeof(std::uint32_t));
  std::vector<std::pair<double, double>> points;
  double spent = 0;
  for (std::size_t bytes = kLeast; bytes <= kMost && (points.size() < 4 || spent < kEnough); bytes *= 4) {
    const std::size_t words = bytes / sizeof(std::uint32_t);
    const auto write = [&] { std::ranges::fill(arena.own.first(words), 1u); };  // as backward does
    const double seconds = time_of(comm, write, [&] {
      transport->start(arena, {0, words}, SumType::int32);
      transport->finish();
    });
    points.emplace_back(bytes, seconds);
    spent += seconds * kRounds * 4;
  }
  return points;
}

Machine measure_machine(Communicator& comm) {
  Machine machine;
  std::vector<std::uint32_t> to(kMost / 4), from(to.size());
  machine.add_per_byte = time_of(
                             comm, [] {}, [&] { simd().add_i32(to.data(), from.data(), to.size()); }) /
                         static_cast<double>(to.size() * sizeof(std::uint32_t));
  if (comm.single_node()) {
    machine.shared = fit_line(times_of("shared", comm));
    machine.shared_ranks = comm.size();
  }
  machine.between_nodes = !comm.single_node();
  std::vector<std::pair<double, double>> messages;
  for (const auto& [bytes, seconds] : times_of("ring", comm))  // one of its 2 (n - 1) rounds
    messages.emplace_back(bytes / comm.size(), seconds / (2.0 * (comm.size() - 1)));
  machine.message = fit_line(messages);
  return machine;
}

// What the slowest rank says, number by number.
void take_slowest(StepProfile& profile, Communicator& comm) {
  for (double StepProfile::*value : {&StepProfile::computed, &StepProfile::step, &StepProfile::optimizer,
                                     &StepProfile::spread, &StepProfile::error}) {
    double most = 0;
    for (const std::string& text : comm.gather_texts(fmt::format("{:a}", profile.*value)))
      most = std::max(most, std::stod(text));
    profile.*value = most;
  }
}

// Each rank for itself with its share of the batch, all at the same time.
StepProfile measure_alone(StepBench bench, const RunConfig& whole, Communicator& comm, TaskFactory factory) {
  const std::unique_ptr<Communicator> alone = Communicator::alone(comm.timeout_s());
  const std::int64_t micro_batches = whole.train.micro_batches / comm.size();
  for (const auto& [key, value] : {std::pair{"train.micro_batches", micro_batches},
                                   {"train.global_batch", whole.train.global_batch / comm.size()},
                                   {"exchange.lanes", std::int64_t{0}}})
    bench.overrides.push_back(fmt::format("{}={}", key, value));
  bench.overrides.emplace_back("exchange.algorithm=auto");
  StepFigures figures;
  together(comm, [&] { figures = bench_step(bench, *alone, factory)[0]; });
  StepProfile profile{.compression = whole.exchange.compression,
                      .values = static_cast<double>(figures.values),
                      .micro_batches = static_cast<double>(micro_batches),
                      .samples = static_cast<double>(figures.samples)};
  for (const BucketFigures& bucket : waterfall({figures.spans}))
    if (bucket.bytes > 0) profile.buckets.push_back({double(bucket.bytes), bucket.ready * 1e-6});
  std::vector<double> computed, optimizer;
  for (const StepTimes& t : figures.times) {
    computed.push_back(t.data + t.forward + t.backward + t.hidden);
    optimizer.push_back(t.optimizer);
  }
  profile.computed = median(computed);
  profile.optimizer = median(optimizer);
  const MedianWithLimits blocks = median_with_limits(figures.blocks);
  profile.step = blocks.median;
  profile.error = (blocks.high - blocks.low) / 2 / blocks.median;
  std::vector<double> walls = figures.wall;
  std::ranges::sort(walls);
  profile.spread = (walls[walls.size() * 3 / 4] - walls[walls.size() / 4]) / 1.349;  // of a normal
  take_slowest(profile, comm);
  return profile;
}

}  // namespace

ScaleMeasurement measure_scale(const StepBench& bench, const std::vector<std::string>& compressions,
                               Communicator& comm, TaskFactory factory) {
  if (comm.size() == 1)
    input_error(
        "bench scale learns from the messages of two ranks or more: mpirun -n 2 rondo bench scale ...");
  std::uint64_t nodes[1] = {comm.local_rank() == 0 ? 1u : 0u};
  comm.sum(nodes);
  ScaleMeasurement result{.ranks = comm.size(), .nodes = static_cast<int>(nodes[0])};
  StepBench first = bench;
  for (const std::string& compression : compressions) {
    StepBench one = bench;
    if (!compression.empty()) one.overrides.push_back("exchange.compression=" + compression);
    RunConfig config;
    together(comm, [&] {
      config = read_config(ConfigReader::from_file(one.config, one.overrides), factory);
      if (config.train.micro_batches % comm.size() != 0)
        input_error(
            "train.micro_batches = {} must be a multiple of the {} ranks, so that all have as much to do",
            config.train.micro_batches, comm.size());
      if (config.device.kind == "cuda")
        input_error("bench scale is for ranks on CPUs so far: --set device.kind=cpu");
    });
    if (result.profiles.empty()) {
      first = one;  // with the buckets that a rank by itself has, as the model does
      if (config.exchange.bucket_bytes == 0)
        first.overrides.push_back(fmt::format("exchange.bucket_bytes={}", kBucketBytes));
    }
    result.profiles.push_back(measure_alone(one, config, comm, factory));
  }
  result.machine = measure_machine(comm);
  first.overrides.emplace_back("exchange.algorithm=auto");
  const StepFigures together_now = bench_step(first, comm, factory)[0];
  result.measured_step = median(together_now.blocks);
  Cluster here{.ranks_per_node = comm.local_size(), .algorithm = "auto"};
  result.predicted_step = predict_step(result.machine, result.profiles[0], here, comm.size(), 0).step;
  return result;
}

}  // namespace rondo
