#include "rondo/train/scale_model.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "rondo/core/error.hpp"
#include "rondo/exchange/exchange.hpp"

namespace rondo {
namespace {

constexpr double kPiece = 256 * 1024;  // bytes: kPieceWords of src/comm/sum_algorithm.hpp
constexpr double kBlockBytes = 4096;   // of gradients with one checksum and one largest value

int nodes_of(const Cluster& cluster, int ranks) {
  return (ranks + cluster.ranks_per_node - 1) / cluster.ranks_per_node;
}

// A message between nodes, where so many at a time share each link. What was measured may err; the link as
// described does not, so the error is as large as the software's part of the time.
LinkCost across(const Machine& machine, const Cluster& cluster, double sharing) {
  const LinkCost &message = machine.message, &link = cluster.link;
  LinkCost cost{message.latency + link.latency, std::max(message.per_byte, link.per_byte * sharing)};
  const bool waits_for_link = link.per_byte * sharing > message.per_byte;
  const double of_software = waits_for_link ? message.latency : message.of(kPiece);
  cost.error = message.error * of_software / cost.of(kPiece);
  return cost;
}

// Flags of all ranks are looked at by each; the bytes that a rank reads and writes do not depend on their
// number.
SumCost shared_cost(const Machine& machine, int ranks, double bytes) {
  if (ranks == 1) return {};
  const double flags = machine.shared_ranks > 0 ? double(ranks) / machine.shared_ranks : 1;
  return {.work = machine.shared.latency * flags + bytes * machine.shared.per_byte};
}

// 2 (n - 1) times round a slice goes on by pieces: each is added and sent on while the next arrives. A short
// slice waits for latency, a long one for bandwidth.
SumCost ring_cost(const Machine& machine, const LinkCost& message, double link_per_byte, int ranks,
                  double bytes) {
  if (ranks == 1) return {};
  const double slice = bytes / ranks, piece = std::min(slice, kPiece), rounds = 2.0 * (ranks - 1);
  const double waited = message.of(piece) + piece * machine.add_per_byte;
  return {.round = std::max(slice * message.per_byte, waited),
          .rounds = rounds,
          .on_link = rounds * slice * link_per_byte};
}

// Recursive doubling, piece after piece. Ranks are numbered by node: the first rounds stay within one.
SumCost tree_cost(const Machine& machine, const Cluster& cluster, int ranks, double bytes) {
  if (ranks == 1) return {};
  const auto n = static_cast<unsigned>(ranks);
  const int doublings = static_cast<int>(std::bit_width(n)) - 1, extra = std::has_single_bit(n) ? 0 : 2;
  const int within = static_cast<int>(std::bit_width(static_cast<unsigned>(cluster.ranks_per_node))) - 1;
  const int near = std::min(doublings, within);
  const int far = doublings - near + extra;
  const double pieces = std::max(1.0, std::ceil(bytes / kPiece)), piece = bytes / pieces;
  const double add = piece * machine.add_per_byte;
  const double seconds = near * (machine.message.of(piece) + add) +
                         far * (across(machine, cluster, cluster.ranks_per_node).of(piece) + add);
  const double rounds = pieces * (near + far);
  return {.round = seconds * pieces / rounds,
          .rounds = rounds,
          .on_link = far * bytes * cluster.link.per_byte * cluster.ranks_per_node};
}

SumCost hierarchical_cost(const Machine& machine, const Cluster& cluster, int ranks, double bytes) {
  const int lanes = std::min(ranks, cluster.ranks_per_node);
  SumCost cost = ring_cost(machine, across(machine, cluster, lanes), cluster.link.per_byte * lanes,
                           nodes_of(cluster, ranks), bytes / lanes);
  cost.work = shared_cost(machine, lanes, bytes).work;
  return cost;
}

bool in_shared_memory(const Cluster& cluster, int ranks) {
  return nodes_of(cluster, ranks) == 1 && (cluster.algorithm == "shared" || cluster.algorithm == "auto");
}

// Bytes that travel for one that did where `lanes` of this rank were measured alone: codes of more lanes take
// more room. Each rank has a lane at the least.
double growth(const StepProfile& profile, int ranks) {
  const auto micro_batches = static_cast<std::int64_t>(profile.micro_batches);
  const ExchangeOptions options{.compression = profile.compression};
  const std::int64_t lanes = std::max<std::int64_t>(ranks, lanes_of(options, ranks * micro_batches));
  return static_cast<double>(words_per_block(profile.compression, lanes)) /
         static_cast<double>(words_per_block(profile.compression, lanes_of(options, micro_batches)));
}

// Where buckets get to while backward goes on. Messages move on only when the rank looks after them, which it
// does whenever a bucket becomes ready, and all the time once nothing is left to compute.
struct Overlap {
  double end = 0;  // of backward and all sums
  double on_link = 0;
};

Overlap overlap(const Machine& machine, const StepProfile& profile, const Cluster& cluster, int ranks) {
  double free = 0, worked = 0, bytes = 0, on_link = 0;  // free: when the bucket before is done
  const double grown = growth(profile, ranks);
  const auto look = [&](double time) {
    for (const StepProfile::Bucket& bucket : profile.buckets)
      if (const double at = bucket.ready * cluster.slowdown + worked; at >= time) return at;
    return std::max(time, profile.computed * cluster.slowdown + worked);
  };
  const auto send = [&](double size, double ready) {
    const SumCost cost = sum_cost(machine, cluster, ranks, size);
    free = std::max(free, ready * cluster.slowdown + worked) + cost.work;
    worked += cost.work;
    double left = cost.rounds;
    for (; left > 0 && free < profile.computed * cluster.slowdown + worked; --left)
      free = look(free + cost.round);
    free += left * cost.round;
    on_link += cost.on_link;
  };
  for (const StepProfile::Bucket& bucket : profile.buckets) {
    send(bucket.bytes * grown, bucket.ready);
    bytes += bucket.bytes * grown;
  }
  if (ranks > 1 && !in_shared_memory(cluster, ranks)) send(bytes / 1024, profile.computed);  // checksums
  return {std::max(free, profile.computed * cluster.slowdown + worked), on_link};
}

// What decides a step: every rank's losses and time, and every block's largest value.
double control_word(const Machine& machine, const StepProfile& profile, const Cluster& cluster, int ranks) {
  const double bytes = 4 * (profile.values * 4 / kBlockBytes + ranks * (2 * profile.micro_batches + 1));
  if (in_shared_memory(cluster, ranks)) return shared_cost(machine, ranks, bytes).total();
  return tree_cost(machine, cluster, ranks, bytes).total();
}

}  // namespace

LinkCost fit_line(const std::vector<std::pair<double, double>>& points) {
  RONDO_CHECK(points.size() >= 2, "a line needs two points");
  double w = 0, x = 0, y = 0, xx = 0, xy = 0;  // weighted sums
  for (const auto& [bytes, seconds] : points) {
    const double weight = 1 / (seconds * seconds);
    w += weight, x += weight * bytes, y += weight * seconds;
    xx += weight * bytes * bytes, xy += weight * bytes * seconds;
  }
  LinkCost line;
  line.per_byte = std::max(0.0, (w * xy - x * y) / (w * xx - x * x));
  line.latency = (y - line.per_byte * x) / w;
  if (line.latency < 0) line = {.latency = 0, .per_byte = xy / xx};
  for (const auto& [bytes, seconds] : points) line.error += std::pow(line.of(bytes) / seconds - 1, 2);
  line.error = std::sqrt(line.error / static_cast<double>(points.size()));
  return line;
}

SumCost sum_cost(const Machine& machine, const Cluster& cluster, int ranks, double bytes) {
  const std::string& name = cluster.algorithm;
  const int nodes = nodes_of(cluster, ranks);
  const auto flat = [&] {
    const LinkCost message = nodes == 1 ? machine.message : across(machine, cluster, 1);
    return ring_cost(machine, message, nodes == 1 ? 0 : cluster.link.per_byte, ranks, bytes);
  };
  if (name == "ring") return flat();
  if (name == "tree") return tree_cost(machine, cluster, ranks, bytes);
  if (name == "hierarchical") return hierarchical_cost(machine, cluster, ranks, bytes);
  if (name != "shared" && name != "auto")
    input_error("no prediction for algorithm \"{}\"; use auto, shared, ring, hierarchical or tree", name);
  if (nodes == 1) return shared_cost(machine, ranks, bytes);
  if (name == "shared")
    input_error("algorithm \"shared\" needs all ranks on one node: {} ranks are on {}", ranks, nodes);
  return std::min(
      {flat(), tree_cost(machine, cluster, ranks, bytes), hierarchical_cost(machine, cluster, ranks, bytes)},
      [](const SumCost& a, const SumCost& b) { return a.total() < b.total(); });
}

double expected_maximum(int n) {
  if (n <= 1) return 0;
  // The normal quantile of (n - 3/8) / (n + 1/4), by bisection of the error function.
  const double p = (n - 0.375) / (n + 0.25);
  double low = 0, high = 10;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (0.5 * std::erfc(-middle / std::sqrt(2.0)) < p ? low : high) = middle;
  }
  return low;
}

Prediction predict_step(const Machine& machine, const StepProfile& profile, const Cluster& cluster, int ranks,
                        double check) {
  const double alone = profile.step * cluster.slowdown;
  Prediction p{.ranks = ranks};
  double computing = alone;
  if (ranks > 1) {
    const auto [end, on_link] = overlap(machine, profile, cluster, ranks);
    p.exposed = end - profile.computed * cluster.slowdown + control_word(machine, profile, cluster, ranks);
    p.skew = profile.spread * cluster.slowdown * expected_maximum(ranks);
    if (in_shared_memory(cluster, ranks)) {  // the optimizer is sharded there, the weights are one memory
      computing -= profile.optimizer * cluster.slowdown * (1 - 1.0 / ranks);
      p.exposed += shared_cost(machine, ranks, 0).total();
    }
    if (nodes_of(cluster, ranks) > 1) {  // tokens that come in while the link is idle
      const double idle = computing + p.exposed + p.skew - on_link;
      p.exposed -=
          std::clamp(cluster.burst * cluster.link.per_byte, 0.0, std::min(p.exposed, std::max(0.0, idle)));
    }
  }
  p.step = computing + p.exposed + p.skew;
  p.efficiency = alone / p.step;
  p.samples_per_s = ranks * profile.samples / p.step;
  double of_sums = across(machine, cluster, 1).error;
  if (nodes_of(cluster, ranks) == 1)
    of_sums = machine.shared_ranks > 0 ? machine.shared.error : machine.message.error;
  p.margin = std::hypot(of_sums * p.exposed, profile.error * computing, p.skew / 2);
  if (ranks == 1 || check == 0) return p;
  Cluster unlimited = cluster;  // what was compared is computing and the software's part of messages
  unlimited.link = {};
  p.margin = std::hypot(p.margin, check * predict_step(machine, profile, unlimited, ranks, 0).step);
  return p;
}

}  // namespace rondo
