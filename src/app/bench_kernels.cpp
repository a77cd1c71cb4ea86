// rondo bench kernels: whatever is no matrix product does little but move memory, so its yardstick is a copy
// within the device.
#include <algorithm>
#include <functional>
#include <numeric>

#include "bench.hpp"
#include "rondo/core/clock.hpp"
#include "rondo/core/error.hpp"
#include "rondo/core/shuffle.hpp"
#include "rondo/device/array.hpp"
#include "rondo/train/session.hpp"

namespace rondo {
namespace {

struct BenchKernelsOptions {
  std::string bytes = "256M", json, device = "auto";
  int rounds = 21;
};

constexpr std::int64_t kTaps = 4, kQuantiles = 4;
constexpr double kLevels[kQuantiles] = {0.1, 0.5, 0.9, 0.95};

// The least bytes that an operation must read and write for each value of the arena; tables of one number a
// block, row or column are left out.
struct Operation {
  const char* name;
  int bytes_a_value;
  std::function<void()> queue;
};

// Four arenas of `blocks` blocks and what belongs to them. As matrices they have a row a block.
struct Arenas {
  Arenas(Backend& b, std::int64_t n)
      : backend(b),
        blocks(n),
        values(n * kBlock),
        scales(b, length(n)),
        ids(b, length(n)),
        of_columns(b, length(kBlock)),
        sums_of_columns(b, length(2 * kBlock)),
        bits(b, length(n)),
        checks(b, length(n)),
        sums(b, length(n)) {
    const RandomStream random{1, Purpose::test, 0, 0};
    std::vector<float> numbers(length(values));
    for (std::size_t i = 0; i < numbers.size(); i += 4) {
      const PhiloxBlock words = random.block(i / 4);
      for (std::size_t j = 0; j < 4; ++j) numbers[i + j] = static_cast<float>(words[j] >> 8) * 0x1p-23f - 1;
    }
    for (auto& arena : memory) {
      arena = b.allocate(numbers.size() * sizeof(float));
      b.copy_in(arena->data(), numbers.data(), numbers.size() * sizeof(float));
    }
    of_columns.put({numbers.data(), length(kBlock)});
    const std::vector<float> ones(length(n), 1.0f);
    scales.put(ones);
    std::vector<std::int64_t> order(length(n));
    std::iota(order.begin(), order.end(), 0);
    permute(order, n, 1, 0);
    std::ranges::transform(order, numbers.begin(), [](std::int64_t i) { return static_cast<float>(i); });
    ids.put({numbers.data(), length(n)});
  }
  static std::size_t length(std::int64_t n) { return static_cast<std::size_t>(n); }
  float* floats(int i) { return static_cast<float*>(memory[i]->data()); }
  std::uint32_t* fixed(int i) { return static_cast<std::uint32_t*>(memory[i]->data()); }

  Backend& backend;
  std::int64_t blocks, values;
  std::unique_ptr<Buffer> memory[4];
  DeviceArray<float> scales, ids, of_columns, sums_of_columns;
  DeviceArray<std::uint32_t> bits, checks;
  DeviceArray<double> sums;
};

std::vector<Operation> on_arenas(Arenas& a) {
  Backend& b = a.backend;
  float *const w = a.floats(0), *const m = a.floats(1), *const v = a.floats(2), *const g = a.floats(3);
  std::uint32_t* const q = a.fixed(1);
  auto* const halves = reinterpret_cast<std::uint16_t*>(q);
  const float* const scales = a.scales.data();
  const std::size_t bytes = static_cast<std::size_t>(a.values) * sizeof(float);
  const GradientView view{nullptr, a.fixed(3), scales};
  const AdamWStep step{1e-3f, 0.9f, 0.999f, 1e-8f, 0.1f, 10, 1000};
  const auto matrix = [&](float* data) { return Matrix{data, a.blocks, kBlock}; };
  std::uint32_t *const bits = a.bits.data(), *const checks = a.checks.data();
  double* const sums = a.sums.data();
  return {
      {"copy", 8, [=, &b] { b.copy(m, w, bytes); }},
      {"clear", 4, [=, &b] { b.clear(m, bytes); }},
      {"add", 12, [=, &b] { b.add(matrix(m), w); }},
      {"to_half, bfloat16", 6, [=, &b, &a] { b.to_half(halves, w, a.values, Precision::bfloat16); }},
      {"quantise", 8, [=, &b, &a] { b.quantise(q, g, a.blocks, scales, Held::nothing, bits, nullptr); }},
      {"quantise, added", 12,
       [=, &b, &a] { b.quantise(q, g, a.blocks, scales, Held::integers, bits, nullptr); }},
      {"quantise two, checksum", 12,
       [=, &b, &a] { b.quantise(q, g, a.blocks, scales, Held::values, bits, checks); }},
      {"checksum", 4, [=, &b, &a] { b.checksum(q, a.blocks, checks); }},
      {"block_squares", 4, [=, &b, &a] { b.block_squares(view, a.blocks, sums); }},
      {"adamw", 28, [=, &b, &a] { b.adamw(w, m, v, view, a.blocks, scales, step, nullptr); }},
      {"sgd", 20, [=, &b, &a] { b.sgd(w, m, view, a.blocks, scales, 0.1f, 0.9f, 0.1f, nullptr); }},
      {"average", 12, [=, &b, &a] { b.average(m, w, a.values, 0.9f); }},
  };
}

// As [blocks, kBlock]; of an embedding and a convolution with smaller rows.
std::vector<Operation> of_layers(Arenas& a) {
  Backend& b = a.backend;
  const std::int64_t rows = a.blocks, half = kBlock / 2, narrow = kBlock / kTaps;
  const auto all = [&](int i) { return Matrix{a.floats(i), rows, kBlock}; };
  const Matrix w = all(0), m = all(1), v = all(2), g = all(3);
  const Matrix ids{a.ids.data(), rows, 1}, small{w.data, rows, narrow};
  const ConvShape taps{1, rows, narrow, kTaps, 1};
  real *const gain = a.of_columns.data(), *const sums = a.sums_of_columns.data();
  real* const per_row = a.scales.data();
  double* const losses = a.sums.data();
  const RandomStream random{1, Purpose::dropout, 1, 1};
  return {
      {"bias, gelu, slope", 12, [=, &b] { b.bias_activation(m, gain, Activation::gelu, v.data); }},
      {"activation_backward", 12, [=, &b] { b.activation_backward(m, g.data, sums, false); }},
      {"layer_norm", 12, [=, &b] { b.layer_norm(g, nullptr, gain, gain, m, v, per_row); }},
      {"layer_norm of a sum", 16, [=, &b] { b.layer_norm(g, w.data, gain, gain, m, v, per_row); }},
      {"layer_norm_backward", 12,
       [=, &b] { b.layer_norm_backward(w, v, per_row, gain, m, sums, sums + kBlock, false); }},
      {"dropout", 12, [=, &b] { b.dropout(w, m, v.data, 0.1f, random, 0); }},
      {"multiply", 12, [=, &b] { b.multiply(m, g.data); }},
      {"scale", 8, [=, &b] { b.scale(m, 1); }},
      {"copy_columns, half", 4,
       [=, &b] {
         b.copy_columns(w, half, {m.data, rows, half}, true);
       }},
      {"embedding", 8, [=, &b] { b.embedding(ids, w, m); }},
      {"embedding_backward", 8, [=, &b] { b.embedding_backward(ids, w, m, false); }},
      {"gather_taps, 4 taps", 5, [=, &b] { b.gather_taps(small, taps, m); }},
      {"scatter_taps, 4 taps", 5, [=, &b] { b.scatter_taps(m, taps, small); }},
      {"squared_loss", 16, [=, &b] { b.squared_loss(w, g, v, 1, losses, m); }},
      {"pinball_loss, 4 levels", 10,
       [=, &b] {
         const Matrix target{g.data, rows, narrow}, weights{v.data, rows, narrow};
         b.pinball_loss(w, target, weights, kLevels, 1, losses, m);
       }},
  };
}

// Seconds of one call. So many calls are queued before the host waits that the wait itself hardly counts.
double time_of(Arenas& arenas, const Operation& operation) {
  constexpr int kQueued = 20;
  float word = 0;
  arenas.backend.copy_out(&word, arenas.floats(0), sizeof word);
  const double begin = now_s();
  for (int i = 0; i < kQueued; ++i) operation.queue();
  arenas.backend.copy_out(&word, arenas.floats(0), sizeof word);
  arenas.backend.check_ids();
  return (now_s() - begin) / kQueued;
}

int run(const BenchKernelsOptions& options) {
  Communicator& comm = world();
  DeviceOptions kind{options.device, 1};
  std::unique_ptr<Backend> device;
  together(comm, [&] { device = make_backend(kind, comm.local_rank(), comm.local_size()); });
  if (comm.rank() != 0) return 0;
  const auto bytes = static_cast<std::int64_t>(bytes_of("--bytes", options.bytes));
  Arenas arenas(*device, std::max<std::int64_t>(1, bytes / (kBlock * 4)));
  std::vector<Operation> all = on_arenas(arenas);
  for (Operation& of_layer : of_layers(arenas)) all.push_back(std::move(of_layer));
  std::vector<std::vector<double>> times(all.size());
  for (int round = -1; round < options.rounds;
       ++round)  // in turns; the first touches memory and does not count
    for (std::size_t i = 0; i < all.size(); ++i)
      if (const double time = time_of(arenas, all[i]); round >= 0) times[i].push_back(time);
  fmt::print("# {}, arenas of {} values, medians of {} rounds\n# {:<22} {:>10} {:>10} {:>10}\n",
             device->name(), arenas.values, options.rounds, "operation", "us", "GB/s", "of a copy");
  nlohmann::ordered_json json = {{"device", device->name()}, {"values", arenas.values}};
  double copy = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const double time = percentile(times[i], 0.5);
    const double rate = static_cast<double>(all[i].bytes_a_value * arenas.values) / time * 1e-9;
    if (i == 0) copy = rate;
    fmt::print("{:<24} {:>10.1f} {:>10.1f} {:>9.0f}%\n", all[i].name, time * 1e6, rate, 100 * rate / copy);
    json["rows"].push_back(
        {{"operation", all[i].name}, {"time_us", time * 1e6}, {"gb_per_s", rate}, {"of_copy", rate / copy}});
  }
  write_json(options.json, json);
  return 0;
}

}  // namespace

Command add_bench_kernels(CLI::App& bench) {
  CLI::App* sub = bench.add_subcommand("kernels", "Memory speed of what runs on whole arenas");
  sub->footer("Example: rondo bench kernels --bytes 256M --device cuda --json kernels.json");
  auto options = std::make_shared<BenchKernelsOptions>();
  sub->add_option("--bytes", options->bytes, "size of an arena (there are four), e.g. 256M");
  sub->add_option("--rounds", options->rounds, "measurements")->check(CLI::Range(1, 100000));
  sub->add_option("--device", options->device, "auto, cpu or cuda")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  sub->add_option("--json", options->json, "write the table to this file");
  return {sub, [options] { return run(*options); }};
}

}  // namespace rondo
