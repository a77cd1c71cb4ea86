// rondo bench comm: every all-reduce beside MPI_Allreduce, in the format of nccl-tests. On GPUs NCCL sums in
// device memory; MPI_Allreduce stays in host memory.
#include <algorithm>
#include <functional>

#include "bench.hpp"
#include "rondo/comm/transport.hpp"
#include "rondo/core/clock.hpp"
#include "rondo/core/error.hpp"
#include "rondo/device/backend.hpp"
#include "rondo/train/session.hpp"

namespace rondo {
namespace {

struct Options {
  std::string min = "64K", max = "64M", json, device = "auto";
  int rounds = 21;
};

// One way to sum, on memory of its own.
struct Contender {
  std::string name;
  SumType type;
  Backend& backend;                      // whose memory it sums
  std::unique_ptr<Transport> transport;  // none: blocking MPI_Allreduce
  std::vector<std::uint32_t> own;
  Arena arena;
  std::vector<double> times;  // of the current size
  std::uint64_t wrong = 0;    // words, over all ranks, of the current size

  std::uint32_t* words() { return transport ? arena.own.data() : own.data(); }
  void fill(std::span<const std::uint32_t> from) {
    backend.copy_in(words(), from.data(), from.size_bytes());
    std::uint32_t last = 0;
    backend.copy_out(&last, words(), sizeof last);  // waits: the copy is no part of the sum
  }
  void sum(Communicator& comm, std::size_t n) {
    if (transport == nullptr) return mpi_all_reduce(comm, std::span(own).first(n), type);
    transport->start(arena, {0, n}, type);
    transport->finish();
  }
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

// Rounds alternate between contenders, so that what the machine does meanwhile hits all alike. Each round
// rewrites the buffer (as backward does), and the slowest rank's time counts.
void measure(std::vector<Contender>& contenders, Communicator& comm, std::size_t n, int rounds) {
  const int ranks = comm.size(), warm_up = 2;
  std::vector<std::uint32_t> words(n);
  for (int round = 0; round < rounds + warm_up; ++round)
    for (Contender& c : contenders) {
      for (std::size_t i = 0; i < n; ++i) words[i] = value(i, comm.rank(), c.type);
      c.fill(words);
      comm.barrier();
      const double begin = now_s();
      c.sum(comm, n);
      const double took = now_s() - begin;
      if (round == 0) {
        c.backend.copy_out(words.data(), c.words(), n * sizeof(std::uint32_t));
        c.wrong = count_wrong(words, ranks, c.type);
      }
      if (round >= warm_up) c.times.push_back(took);
    }
  for (Contender& c : contenders) {
    std::vector<std::uint64_t> all(static_cast<std::size_t>(ranks) * c.times.size() + 1);
    for (std::size_t i = 0; i < c.times.size(); ++i)
      all[static_cast<std::size_t>(comm.rank()) * c.times.size() + i] =
          std::bit_cast<std::uint64_t>(c.times[i]);
    all.back() = c.wrong;
    comm.sum(all);
    c.wrong = all.back();
    for (std::size_t i = 0; i < c.times.size(); ++i)
      for (int r = 0; r < ranks; ++r)
        c.times[i] = std::max(c.times[i],
                              std::bit_cast<double>(all[static_cast<std::size_t>(r) * c.times.size() + i]));
  }
}

int run(const Options& options) {
  const std::size_t least = bytes_of("--min", options.min), most = bytes_of("--max", options.max);
  if (least > most) input_error("--min {} is larger than --max {}", options.min, options.max);
  Communicator& comm = world();
  DeviceOptions on_device{options.device, 1}, on_host{"cpu", 1};
  std::unique_ptr<Backend> device, host;
  together(comm, [&] {
    device = make_backend(on_device, comm.local_rank(), comm.local_size());
    host = make_backend(on_host);
  });
  std::vector<Contender> contenders;
  for (const SumType type : {SumType::float32, SumType::int32}) {
    for (const std::string& name : available_algorithms(comm, *device)) {
      Contender& c = contenders.emplace_back(name, type, *device, make_transport(name, comm, *device));
      c.arena = c.transport->allocate(most / 4);
    }
    contenders.emplace_back("MPI_Allreduce", type, *host).own.resize(most / 4);
  }
  nlohmann::ordered_json json = {
      {"ranks", comm.size()}, {"device", device->name()}, {"rows", nlohmann::json::array()}};
  if (comm.rank() == 0)
    fmt::print(
        "# {} rank(s) on {}, all-reduce in place, medians of {} alternating rounds, slowest rank; busbw as "
        "in "
        "nccl-tests\n# {:>10} {:>14} {:>8} {:>10} {:>10} {:>10} {:>10} {:>8}\n# {:>10} {:>14} {:>8} {:>10} "
        "{:>10} {:>10} {:>10} {:>8}\n",
        comm.size(), device->name(), options.rounds, "bytes", "algorithm", "type", "time", "p99", "algbw",
        "busbw", "#wrong", "", "", "", "(us)", "(us)", "(GB/s)", "(GB/s)", "");
  std::uint64_t wrong = 0;
  for (std::size_t bytes = least; bytes <= most; bytes *= 4) {
    for (Contender& c : contenders) c.times.clear();
    measure(contenders, comm, bytes / 4, options.rounds);
    for (const Contender& c : contenders) wrong += c.wrong;
    if (comm.rank() != 0) continue;
    for (const Contender& c : contenders) {
      const double time = percentile(c.times, 0.5), p99 = percentile(c.times, 0.99);
      const double algbw = static_cast<double>(bytes) / time * 1e-9;
      const double busbw = algbw * 2 * (comm.size() - 1) / comm.size();
      const char* type = c.type == SumType::int32 ? "int32" : "float32";
      fmt::print("{:>12} {:>14} {:>8} {:>10.1f} {:>10.1f} {:>10.2f} {:>10.2f} {:>8}\n", bytes, c.name, type,
                 time * 1e6, p99 * 1e6, algbw, busbw, c.wrong);
      json["rows"].push_back({{"bytes", bytes},
                              {"algorithm", c.name},
                              {"type", type},
                              {"time_us", time * 1e6},
                              {"p99_us", p99 * 1e6},
                              {"algbw", algbw},
                              {"busbw", busbw},
                              {"wrong", c.wrong}});
    }
  }
  if (comm.rank() == 0) write_json(options.json, json);
  return wrong == 0 ? 0 : 1;
}

}  // namespace

Command add_bench_comm(CLI::App& bench) {
  CLI::App* sub = bench.add_subcommand("comm", "All-reduce by every algorithm, beside MPI_Allreduce");
  sub->footer("Example: mpirun -n 2 rondo bench comm --min 64K --max 16M --json comm.json");
  auto options = std::make_shared<Options>();
  sub->add_option("--min", options->min, "smallest message, e.g. 64K");
  sub->add_option("--max", options->max, "largest message, e.g. 64M; sizes grow by factors of 4");
  sub->add_option("--rounds", options->rounds, "measurements per size")->check(CLI::Range(1, 100000));
  sub->add_option("--device", options->device, "where the sums are: auto, cpu or cuda (NCCL between GPUs)")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  sub->add_option("--json", options->json, "write the table to this file");
  return {sub, [options] { return run(*options); }};
}

}  // namespace rondo
