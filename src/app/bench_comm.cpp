// rondo bench comm: every all-reduce beside MPI_Allreduce, in the format of nccl-tests. On GPUs NCCL sums in
// device memory; MPI_Allreduce stays in host memory.
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <map>

#include "bench.hpp"
#include "rondo/comm/transport.hpp"
#include "rondo/core/clock.hpp"
#include "rondo/core/error.hpp"
#include "rondo/device/backend.hpp"
#include "rondo/device/simd.hpp"
#include "rondo/train/session.hpp"

namespace rondo {
namespace {

struct BenchCommOptions {
  std::string min = "1K", max = "64M", json, device = "auto", against;
  std::vector<std::string> algorithms;
  int rounds = 21;
};

constexpr const char* kMpi = "MPI_Allreduce";
// Beside "shared", in float32. exact: as a training step sums, with the conversion to fixed point and back.
// private: the same reads and writes as "shared", by each rank on pages of its own; nothing is summed over
// ranks, and nobody is waited for. What the memory itself allows.
constexpr const char *kExact = "exact", *kPrivate = "private";

// One way to sum, on memory of its own.
struct Contender {
  std::string name;
  Backend& backend;                      // whose memory it sums
  std::unique_ptr<Transport> transport;  // none: blocking MPI_Allreduce
  std::unique_ptr<Buffer> own;           // where it has no transport's arena
  Arena arena;
  std::vector<std::uint32_t*> pages = {};  // of "private": stand-ins for all ranks' arenas

  bool sums(SumType type) const { return type == SumType::float32 || (name != kExact && name != kPrivate); }
  bool checked() const { return name != kPrivate; }
  std::uint32_t* words() { return transport ? arena.own.data() : static_cast<std::uint32_t*>(own->data()); }
  // Out of place the words lie elsewhere: a transport, which sums in its own memory, has to fetch them.
  void sum(Communicator& comm, SumType type, std::size_t n, const std::uint32_t* from) {
    if (name == kPrivate) {
      const WordRange slice = slice_of({0, n}, comm.rank(), comm.size());
      return simd().sum_f32(pages.data(), comm.size(), slice.begin, slice.end, kEveryRank);
    }
    if (transport == nullptr) return mpi_all_reduce(comm, from, {words(), n}, type);
    if (from != words()) backend.copy(words(), from, n * sizeof(std::uint32_t));
    if (name == kExact)
      transport->start({0, n}, [this](WordRange slice) { convert_and_sum(slice); });
    else
      transport->start(arena, {0, n}, type);
    transport->finish();
  }

 private:
  // As src/exchange/exact.cpp, block by block. There the optimizer's read converts back.
  void convert_and_sum(WordRange slice) {
    for (std::size_t at = slice.begin; at < slice.end; at += kSliceWords) {
      const std::size_t end = std::min(at + kSliceWords, slice.end);
      simd().exact_sum_all(arena.peers.data(), static_cast<int>(arena.peers.size()), at, end, 1, 1);
    }
  }
};

struct Figures {
  std::vector<double> times;  // by round: s, of the slowest rank
  std::uint64_t wrong = 0;    // words, over all ranks
};

// What one contender did with one type of one size.
struct Row {
  Contender& contender;
  SumType type;
  Figures in_place, out_of_place;
};

// Whole numbers, so that float32 sums are exact too and every word can be checked.
std::uint32_t value(std::size_t i, int rank, SumType type) {
  const auto x = static_cast<std::int32_t>((i * 7 + static_cast<std::size_t>(rank) * 3) % 101) - 50;
  return type == SumType::int32 ? static_cast<std::uint32_t>(x)
                                : std::bit_cast<std::uint32_t>(static_cast<float>(x));
}

std::uint64_t count_wrong(std::span<const std::uint32_t> words, int ranks, SumType type) {
  std::uint64_t wrong = 0;
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::int32_t sum = 0;
    for (int r = 0; r < ranks; ++r) sum += static_cast<std::int32_t>(value(i, r, SumType::int32));
    const auto expected = type == SumType::int32 ? static_cast<std::uint32_t>(sum)
                                                 : std::bit_cast<std::uint32_t>(static_cast<float>(sum));
    wrong += words[i] != expected && !(sum == 0 && type == SumType::float32 && words[i] == 0x80000000u);
  }
  return wrong;
}

void take_slowest(std::vector<Figures*> all, Communicator& comm) {
  const auto ranks = static_cast<std::size_t>(comm.size());
  for (Figures* figures : all) {
    const std::size_t rounds = figures->times.size();
    std::vector<std::uint64_t> shared(ranks * rounds + 1);
    std::uint64_t* mine = shared.data() + static_cast<std::size_t>(comm.rank()) * rounds;
    for (std::size_t i = 0; i < rounds; ++i) mine[i] = std::bit_cast<std::uint64_t>(figures->times[i]);
    shared.back() = figures->wrong;
    comm.sum(shared);
    figures->wrong = shared.back();
    for (std::size_t i = 0; i < ranks * rounds; ++i)
      figures->times[i % rounds] = std::max(figures->times[i % rounds], std::bit_cast<double>(shared[i]));
  }
}

// Rounds alternate between contenders, so that what the machine does meanwhile hits all alike. Each round
// rewrites the buffer, as backward does.
void measure(std::vector<Row>& rows, std::map<const Backend*, std::unique_ptr<Buffer>>& sources,
             Communicator& comm, std::size_t n, int rounds) {
  constexpr int kWarmUp = 2;
  std::map<SumType, std::vector<std::uint32_t>> values;
  for (const Row& row : rows) values[row.type].resize(n);
  for (auto& [type, words] : values)
    for (std::size_t i = 0; i < n; ++i) words[i] = value(i, comm.rank(), type);
  std::vector<std::uint32_t> result(n);
  for (int round = 0; round < rounds + kWarmUp; ++round)
    for (Row& row : rows)
      for (Figures* figures : {&row.out_of_place, &row.in_place}) {
        Contender& c = row.contender;
        auto* const source = static_cast<std::uint32_t*>(sources[&c.backend]->data());
        std::uint32_t* const from = figures == &row.in_place ? c.words() : source;
        c.backend.copy_in(from, values[row.type].data(), n * sizeof(std::uint32_t));
        std::uint32_t last = 0;
        c.backend.copy_out(&last, from, sizeof last);  // waits: this copy is no part of the sum
        comm.barrier();
        const double begin = now_s();
        c.sum(comm, row.type, n, from);
        const double took = now_s() - begin;
        if (round == 0 && c.checked()) {
          c.backend.copy_out(result.data(), c.words(), n * sizeof(std::uint32_t));
          figures->wrong = count_wrong(result, comm.size(), row.type);
        }
        if (round >= kWarmUp) figures->times.push_back(took);
      }
  std::vector<Figures*> all;
  for (Row& row : rows) all.insert(all.end(), {&row.out_of_place, &row.in_place});
  take_slowest(all, comm);
}

// How many times as long the other took, in the median of rounds.
double ratio_to(const std::vector<Row>& rows, const Row& row, const std::string& against) {
  const auto other = std::ranges::find_if(
      rows, [&](const Row& r) { return r.contender.name == against && r.type == row.type; });
  std::vector<double> ratios;
  for (std::size_t i = 0; i < row.in_place.times.size(); ++i)
    ratios.push_back(other->in_place.times[i] / row.in_place.times[i]);
  return percentile(ratios, 0.5);
}

void print_head(const BenchCommOptions& options, const Communicator& comm, const Backend& device) {
  fmt::print(
      "# {} rank(s) on {}, all-reduce, medians of {} alternating rounds, slowest rank; as in nccl-tests\n",
      comm.size(), device.name(), options.rounds);
  fmt::print("# {:>10} {:>14} {:>8}   {:^35}   {:^46}\n", "", "", "", "out of place", "in place");
  fmt::print("# {:>10} {:>14} {:>8} ", "bytes", "algorithm", "type");
  fmt::print(" {:>10} {:>8} {:>8} {:>7}", "time (us)", "algbw", "busbw", "#wrong");
  fmt::print("  {:>10} {:>10} {:>8} {:>8} {:>7}", "time (us)", "p99 (us)", "algbw", "busbw", "#wrong");
  if (!options.against.empty()) fmt::print("  x {}", options.against);
  fmt::print("\n");
}

// Of one way round: us of the median and of the 99th percentile, GB/s of the buffer and of the links.
struct Columns {
  double time_us, p99_us, algbw, busbw;
  Columns(const Figures& f, std::size_t bytes, int ranks)
      : time_us(percentile(f.times, 0.5) * 1e6),
        p99_us(percentile(f.times, 0.99) * 1e6),
        algbw(static_cast<double>(bytes) / time_us * 1e-3),
        busbw(algbw * 2.0 * (ranks - 1) / ranks) {}
};

nlohmann::ordered_json report(const BenchCommOptions& options, const std::vector<Row>& rows, const Row& row,
                              std::size_t bytes, int ranks) {
  const Columns out(row.out_of_place, bytes, ranks), in(row.in_place, bytes, ranks);
  const char* type = row.type == SumType::int32 ? "int32" : "float32";
  fmt::print(
      "{:>12} {:>14} {:>8}  {:>10.1f} {:>8.2f} {:>8.2f} {:>7}  {:>10.1f} {:>10.1f} {:>8.2f} {:>8.2f} {:>7}",
      bytes, row.contender.name, type, out.time_us, out.algbw, out.busbw, row.out_of_place.wrong, in.time_us,
      in.p99_us, in.algbw, in.busbw, row.in_place.wrong);
  nlohmann::ordered_json json = {{"bytes", bytes},
                                 {"algorithm", row.contender.name},
                                 {"type", type},
                                 {"time_us", in.time_us},
                                 {"p99_us", in.p99_us},
                                 {"algbw", in.algbw},
                                 {"busbw", in.busbw},
                                 {"out_of_place_us", out.time_us},
                                 {"out_of_place_p99_us", out.p99_us},
                                 {"out_of_place_algbw", out.algbw},
                                 {"out_of_place_busbw", out.busbw},
                                 {"wrong", row.in_place.wrong + row.out_of_place.wrong}};
  if (!options.against.empty()) {
    json["ratio"] = ratio_to(rows, row, options.against);
    fmt::print("  {:.2f}", json["ratio"].get<double>());
  }
  fmt::print("\n");
  return json;
}

std::vector<Contender> make_contenders(BenchCommOptions& options, Communicator& comm, Backend& device,
                                       Backend& host, std::size_t words) {
  std::vector<std::string> all = available_algorithms(comm, device);
  if (std::ranges::find(all, "shared") != all.end()) all.insert(all.begin() + 1, {kExact, kPrivate});
  for (const std::string& name : options.algorithms)
    if (name != "mpi" && std::ranges::find(all, name) == all.end())
      input_error("--algorithm {} does not work here; what does: {}", name, fmt::join(all, ", "));
  const auto wanted = [&](const std::string& name) {
    return options.algorithms.empty() || name == options.against ||
           std::ranges::find(options.algorithms, name) != options.algorithms.end();
  };
  std::vector<Contender> contenders;
  for (const std::string& name : all)
    if (wanted(name)) {
      Contender& c = contenders.emplace_back(name, device);
      if (name == kPrivate) {
        c.own = host.allocate(words * sizeof(std::uint32_t) * static_cast<std::size_t>(comm.size()));
        for (int r = 0; r < comm.size(); ++r)
          c.pages.push_back(c.words() + static_cast<std::size_t>(r) * words);
        continue;
      }
      c.transport = make_transport(name == kExact ? "shared" : name, comm, device);
      c.arena = c.transport->allocate(words);
    }
  contenders.emplace_back(kMpi, host).own = host.allocate(words * sizeof(std::uint32_t));
  if (options.against == "mpi") options.against = kMpi;
  const auto known = [&](const Contender& c) { return c.name == options.against; };
  if (!options.against.empty() && std::ranges::none_of(contenders, known))
    input_error("--against {}: use mpi or one of {}", options.against, fmt::join(all, ", "));
  return contenders;
}

int run(BenchCommOptions options) {
  const std::size_t least = bytes_of("--min", options.min), most = bytes_of("--max", options.max);
  if (least > most) input_error("--min {} is larger than --max {}", options.min, options.max);
  Communicator& comm = world();
  DeviceOptions on_device{options.device, 1}, on_host{"cpu", 1};
  std::unique_ptr<Backend> device, host;
  together(comm, [&] {
    device = make_backend(on_device, comm.local_rank(), comm.local_size());
    host = make_backend(on_host);
  });
  std::vector<Contender> contenders = make_contenders(options, comm, *device, *host, most / 4);
  std::map<const Backend*, std::unique_ptr<Buffer>> sources;
  for (Backend* backend : {device.get(), host.get()}) sources[backend] = backend->allocate(most);
  nlohmann::ordered_json json = {
      {"ranks", comm.size()}, {"device", device->name()}, {"rows", nlohmann::json::array()}};
  if (comm.rank() == 0) print_head(options, comm, *device);
  std::uint64_t wrong = 0;
  for (std::size_t bytes = least; bytes <= most; bytes *= 4) {
    std::vector<Row> rows;
    for (const SumType type : {SumType::float32, SumType::int32})
      for (Contender& c : contenders)
        if (c.sums(type)) rows.push_back({c, type, {}, {}});
    measure(rows, sources, comm, bytes / 4, options.rounds);
    for (const Row& row : rows) {
      wrong += row.in_place.wrong + row.out_of_place.wrong;
      if (comm.rank() == 0) json["rows"].push_back(report(options, rows, row, bytes, comm.size()));
    }
    std::fflush(stdout);
  }
  if (comm.rank() == 0) write_json(options.json, json);
  return wrong == 0 ? 0 : 1;
}

}  // namespace

Command add_bench_comm(CLI::App& bench) {
  CLI::App* sub = bench.add_subcommand("comm", "All-reduce by every algorithm, beside MPI_Allreduce");
  sub->footer("Example: mpirun -n 2 rondo bench comm --max 256M --against mpi --json comm.json");
  auto options = std::make_shared<BenchCommOptions>();
  sub->add_option("--min", options->min, "smallest message, e.g. 64K");
  sub->add_option("--max", options->max, "largest message, e.g. 64M; sizes grow by factors of 4");
  sub->add_option("--algorithm", options->algorithms, "only these, beside MPI_Allreduce; may be repeated");
  sub->add_option("--against", options->against,
                  "a column with the time of this one as a multiple: mpi, ring...");
  sub->add_option("--rounds", options->rounds, "measurements per size")->check(CLI::Range(1, 100000));
  sub->add_option("--device", options->device, "where the sums are: auto, cpu or cuda (NCCL between GPUs)")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  sub->add_option("--json", options->json, "write the table to this file");
  return {sub, [options] { return run(*options); }};
}

}  // namespace rondo
