#include "measured.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "rondo/core/clock.hpp"
#include "rondo/core/digest.hpp"
#include "rondo/core/error.hpp"

namespace rondo {
namespace {

constexpr std::array kCandidates = {"tree", "ring", "hierarchical"};
constexpr std::size_t kLeast = 1 << 10, kMost = 1 << 20, kFactor = 4;  // bytes
constexpr int kRounds = 5;
constexpr double kEnough = 0.4;              // seconds: no larger size after that,
constexpr std::size_t kInAnyCase = 1 << 16;  // but these, to tell latency from bytes
constexpr std::size_t kMostBucket = 64 << 20;

std::string topology_of(Communicator& comm) {
  std::array<char, 256> name{};
  gethostname(name.data(), name.size() - 1);
  std::string text = mpi_version() + ":";
  for (const std::string& host : comm.gather_texts(name.data())) text += " " + host;
  return text;
}

/// Empty where there is no such folder to be had.
std::filesystem::path cache_file(const std::string& topology) {
  const char *cache = std::getenv("XDG_CACHE_HOME"), *home = std::getenv("HOME");
  std::filesystem::path folder;
  if (cache != nullptr && *cache != '\0')
    folder = cache;
  else if (home != nullptr && *home != '\0')
    folder = std::filesystem::path(home) / ".cache";
  else
    return {};
  return folder / "rondo" / ("all-reduce-" + digest_of(std::as_bytes(std::span(topology))) + ".txt");
}

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write(const std::filesystem::path& path, const std::string& text) {
  if (path.empty()) return;
  std::error_code ignored;
  std::filesystem::create_directories(path.parent_path(), ignored);
  const std::filesystem::path whole = path.string() + fmt::format(".{}", getpid());
  if (std::ofstream(whole) << text << std::flush) std::filesystem::rename(whole, path, ignored);
  std::filesystem::remove(whole, ignored);
}

/// Seconds of one sum: of the slowest rank, the median of rounds. The same on every rank.
double time_of(Transport& transport, const Arena& arena, std::size_t words, Communicator& comm) {
  std::vector<double> times;
  for (int round = 0; round <= kRounds; ++round) {
    comm.barrier();
    const double begin = now_s();
    transport.start(arena, {0, words}, SumType::int32);
    transport.finish();
    std::vector<std::uint64_t> nanoseconds(comm.size());
    nanoseconds[comm.rank()] = static_cast<std::uint64_t>((now_s() - begin) * 1e9);
    comm.sum(nanoseconds);
    if (round > 0) times.push_back(static_cast<double>(*std::ranges::max_element(nanoseconds)) * 1e-9);
  }
  std::ranges::nth_element(times, times.begin() + kRounds / 2);
  return times[kRounds / 2];
}

std::vector<Choice> measure(Communicator& comm) {
  std::vector<std::unique_ptr<Transport>> transports;
  std::vector<Arena> arenas;
  for (const char* name : kCandidates) {
    transports.push_back(make_transport(name, comm));
    arenas.push_back(transports.back()->allocate(kMost / sizeof(std::uint32_t)));
  }
  std::vector<Choice> choices;
  std::vector<double> latencies;
  double spent = 0;
  for (std::size_t bytes = kLeast; bytes <= kMost && (spent < kEnough || bytes <= kInAnyCase);
       bytes *= kFactor) {
    std::vector<double> times;
    for (std::size_t i = 0; i < transports.size(); ++i)
      times.push_back(time_of(*transports[i], arenas[i], bytes / sizeof(std::uint32_t), comm));
    for (const double time : times) spent += time * (kRounds + 1);
    if (bytes == kLeast) latencies = times;
    const auto best = std::ranges::min_element(times) - times.begin();
    choices.push_back({bytes, kCandidates[best], times[best], latencies[best]});
  }
  return choices;
}

}  // namespace

std::size_t best_bucket(std::span<const Choice> choices, std::size_t total, std::size_t least) {
  if (choices.empty() || choices.back().bytes <= kLeast) return least;
  const Choice& last = choices.back();
  const double per_byte = (last.seconds - last.latency) / static_cast<double>(last.bytes - kLeast);
  if (!(per_byte > 0)) return least;
  const double most = std::min<double>(kMostBucket, static_cast<double>(total)),
               ideal = std::min(most, std::sqrt(static_cast<double>(total) * last.latency / per_byte));
  std::size_t best = std::max<std::size_t>(least, 1);  // of nothing twice is nothing
  while (static_cast<double>(2 * best) <= ideal) best *= 2;
  return best;
}

std::string text_of_choices(const std::string& topology, std::span<const Choice> choices) {
  std::string text = "rondo all-reduce 2\n" + topology + "\n";
  for (const Choice& choice : choices)
    text += fmt::format("{} {} {} {}\n", choice.bytes, choice.algorithm, choice.seconds, choice.latency);
  return text + "end\n";
}

std::vector<Choice> choices_of_text(const std::string& topology, const std::string& text) {
  std::vector<Choice> choices;
  std::istringstream lines(text.substr(std::min(text.size(), text_of_choices(topology, {}).size() - 4)));
  Choice choice{};
  while (lines >> choice.bytes >> choice.algorithm >> choice.seconds >> choice.latency) {
    const bool known = std::ranges::find(kCandidates, choice.algorithm) != kCandidates.end();
    if (!known || !(choice.seconds > 0) || (!choices.empty() && choice.bytes <= choices.back().bytes))
      return {};
    choices.push_back(choice);
  }
  return text_of_choices(topology, choices) == text ? choices : std::vector<Choice>{};
}

std::vector<Choice> measured_choices(Communicator& comm) {
  const std::string topology = topology_of(comm);
  const std::filesystem::path path = comm.rank() == 0 ? cache_file(topology) : std::filesystem::path();
  const std::string kept = comm.gather_texts(path.empty() ? "" : read(path))[0];  // rank 0's holds for all
  if (std::vector<Choice> choices = choices_of_text(topology, kept); !choices.empty()) return choices;
  // As the file has them, so that it makes no difference whether it was there.
  std::vector<Choice> choices = choices_of_text(topology, text_of_choices(topology, measure(comm)));
  write(path, text_of_choices(topology, choices));
  return choices;
}

SumAlgorithm& BySize::part() const {
  const std::size_t bytes = words_ * sizeof(std::uint32_t);
  std::size_t i = 0;
  while (i + 1 < choices_.size() && bytes > choices_[i].most()) ++i;
  return *algorithms_[i];
}

}  // namespace rondo
