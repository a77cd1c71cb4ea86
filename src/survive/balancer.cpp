#include "rondo/survive/balancer.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "rondo/core/error.hpp"

namespace rondo {
namespace {

// The rank that would be the first to be done with one micro-batch more; not `but`.
std::size_t first_done(std::span<const std::int64_t> shares, std::span<const double> cost,
                       std::size_t but = std::numeric_limits<std::size_t>::max()) {
  std::size_t first = 0;
  double soonest = std::numeric_limits<double>::infinity();
  for (std::size_t r = 0; r < cost.size(); ++r) {
    const double done = static_cast<double>(shares[r] + 1) * cost[r];
    if (r != but && done < soonest) soonest = done, first = r;
  }
  return first;
}

// Without the longest and the shortest twentieth: a pause for a checkpoint is no matter of shares.
double middle_mean(std::vector<double> lengths) {
  std::ranges::sort(lengths);
  const std::size_t out = lengths.size() / 20, in = lengths.size() - 2 * out;
  return std::accumulate(lengths.begin() + static_cast<std::ptrdiff_t>(out),
                         lengths.end() - static_cast<std::ptrdiff_t>(out), 0.0) /
         static_cast<double>(in);
}

}  // namespace

std::vector<std::int64_t> equal_shares(std::int64_t micro_batches, int ranks) {
  std::vector<std::int64_t> shares;
  for (int rank = 0; rank < ranks; ++rank)
    shares.push_back(micro_batches * (rank + 1) / ranks - micro_batches * rank / ranks);
  return shares;
}

Balancer::Balancer(std::int64_t micro_batches, int ranks)
    : micro_batches_(micro_batches),
      shares_(equal_shares(micro_batches, ranks)),
      costs_(static_cast<std::size_t>(ranks)),
      glance_(static_cast<std::size_t>(ranks)),
      glances_(static_cast<std::size_t>(ranks)),
      known_(static_cast<std::size_t>(ranks)),
      unseen_(static_cast<std::size_t>(ranks), 1.0) {
  RONDO_CHECK(micro_batches >= ranks, "{} micro-batches are too few for {} ranks", micro_batches, ranks);
}

bool Balancer::observe(std::span<const float> seconds, double length) {
  RONDO_CHECK(seconds.size() == shares_.size(), "times of {} ranks, not {}", seconds.size(), shares_.size());
  bool beside = false;
  for (std::size_t r = 0; r < shares_.size(); ++r) {  // no rank is taken to be infinitely quick
    const double one =
        std::max(1e-7, std::abs(static_cast<double>(seconds[r])) / static_cast<double>(shares_[r]));
    costs_[r][steps_ % kLook] = one;
    if (!(seconds[r] < 0)) glance_[r][glances_[r]++ % kGlance] = one;
    beside = beside || seconds[r] < 0;
  }
  if (!beside && lengths_.size() < kFirstLook) lengths_.push_back(length);
  ++steps_;
  ++unchanged_;
  if (steps_ > kLook && steps_ % kLook == 0) look_for_burden();
  if (steps_ < kWarmUp + kGlance || std::ranges::min(glances_) < kGlance) return false;
  std::vector<double> cost = least_of_glance();
  std::vector<std::int64_t> target;
  bool change = better(cost, kMuch, target);
  const bool first_look = changes_ > 0 && unchanged_ == kFirstLook && untried_.empty();
  if (!change && (first_look || unchanged_ % kLook == 0)) {
    cost = mean_of_look(first_look ? kFirstLook : kLook);
    change = better(cost, kLess, target);
    known_ = cost;
  }
  std::string why;
  if (change) {
    known_ = cost;
    for (double& one : cost) one *= 1e3;
    why = fmt::format("one takes {:.3g} ms", fmt::join(cost, " "));
    target = towards(target);
    untried_.clear();
    settled_ = false;
    std::ranges::fill(unseen_, 1.0);
  } else {
    target = next_trial(why);
    if (target.empty()) return false;
  }
  account_ = fmt::format("{} -> {} micro-batches; {}", fmt::join(shares_, " "), fmt::join(target, " "), why);
  shares_ = std::move(target);
  lengths_.clear();
  unchanged_ = 0;
  ++changes_;
  return true;
}

std::vector<std::int64_t> Balancer::next_trial(std::string& why) {
  if (settled_ || lengths_.size() < kFirstLook) return {};
  const double now = middle_mean(lengths_);
  if (!untried_.empty()) {
    why = fmt::format("a step took {:.3g} ms, and {:.3g} ms before", now * 1e3, untried_s_ * 1e3);
    if (now > (1 - kTrial) * untried_s_) {
      settled_ = true;
      return std::exchange(untried_, {});
    }
    known_ = mean_of_look(kFirstLook);  // and of it what would make these shares the better ones
    const double seen = static_cast<double>(untried_[relieved_]) * known_[relieved_];
    const double more = std::max(1.0, slowest(shares_, known_) / seen);
    unseen_[relieved_] *= more;
    known_[relieved_] *= more;
  }
  untried_.clear();
  std::vector<std::int64_t> target = relieve();
  settled_ = target.empty();
  if (settled_) return {};
  untried_ = shares_;
  untried_s_ = now;
  why += why.empty() ? "by way of trial" : "; one more by way of trial";
  return target;
}

// The rank on which a micro-batch takes longest gives one to the rank that would be done with it first.
std::vector<std::int64_t> Balancer::relieve() {
  const auto last = std::ranges::max_element(known_);
  relieved_ = static_cast<std::size_t>(last - known_.begin());
  const double others =
      std::accumulate(known_.begin(), known_.end(), -*last) / static_cast<double>(known_.size() - 1);
  if (shares_[relieved_] < 2 || *last < kSlow * others) return {};
  std::vector<std::int64_t> target = shares_;
  --target[relieved_];
  ++target[first_done(target, known_, relieved_)];
  return slowest(target, known_) <= (1 + kRisk) * slowest(shares_, known_) ? target
                                                                           : std::vector<std::int64_t>{};
}

void Balancer::look_for_burden() {
  const std::vector<double> cost = mean_of_look(kLook);
  const int found = burden_by(cost);
  looks_ = found < 0 ? 0 : found == burden_ ? looks_ + 1 : 1;
  burden_ = found;
  if (found < 0) return;
  const double its = cost[static_cast<std::size_t>(found)];
  const double others = std::accumulate(cost.begin(), cost.end(), -its);
  times_as_long_ = its * static_cast<double>(cost.size() - 1) / others;
}

int Balancer::burden_by(std::span<const double> cost) const {
  if (cost.size() < 2) return -1;
  const auto last = std::ranges::max_element(cost);
  std::vector<double> others(cost.begin(), last);
  others.insert(others.end(), last + 1, cost.end());
  const bool better_without = slowest(best(others), others) <= (1 - kMuch) * slowest(best(cost), cost);
  return better_without ? static_cast<int>(last - cost.begin()) : -1;
}

std::vector<double> Balancer::least_of_glance() const {
  std::vector<double> cost;
  for (std::size_t r = 0; r < glance_.size(); ++r)
    cost.push_back(std::max(unseen_[r] * std::ranges::min(glance_[r]), known_[r]));
  return cost;
}

std::vector<double> Balancer::mean_of_look(std::size_t steps) const {
  constexpr double kOnce =
      16;  // so many medians: not even a rank that sleeps nine tenths of its time takes more
  std::vector<double> cost;
  for (std::size_t r = 0; r < costs_.size(); ++r) {
    const auto& of_rank = costs_[r];
    std::vector<double> last;
    for (std::size_t back = 1; back <= steps; ++back) last.push_back(of_rank[(steps_ - back) % kLook]);
    const auto middle = last.begin() + static_cast<std::ptrdiff_t>(steps / 2);
    std::ranges::nth_element(last, middle);
    const double most = kOnce * *middle;
    double sum = 0;
    for (const double one : last) sum += std::min(one, most);
    cost.push_back(unseen_[r] * sum / static_cast<double>(steps));
  }
  return cost;
}

bool Balancer::better(std::span<const double> cost, double gain, std::vector<std::int64_t>& target) const {
  double speed = 0;  // micro-batches a second of all ranks together
  for (const double one : cost) speed += 1 / one;
  const double wanted = (1 - gain) * slowest(shares_, cost);
  if (static_cast<double>(micro_batches_) / speed > wanted)
    return false;  // not even if they could be divided
  target = best(cost);
  return slowest(target, cost) <= wanted;
}

// By at most `step` a rank; what that leaves over stays with those who would have given or got it.
std::vector<std::int64_t> Balancer::towards(std::span<const std::int64_t> target) const {
  const auto ranks = static_cast<std::int64_t>(shares_.size());
  const std::int64_t step = std::max<std::int64_t>(1, micro_batches_ / ranks / 2);
  std::int64_t over = 0;  // > 0: too many would be given out
  std::vector<std::int64_t> moves;
  for (std::size_t r = 0; r < shares_.size(); ++r) {
    moves.push_back(std::clamp(target[r] - shares_[r], -step, step));
    over += moves.back();
  }
  for (std::int64_t& move : moves) {
    const std::int64_t back =
        over > 0 ? std::clamp<std::int64_t>(move, 0, over) : std::clamp<std::int64_t>(move, over, 0);
    move -= back;
    over -= back;
  }
  for (std::size_t r = 0; r < shares_.size(); ++r) moves[r] += shares_[r];
  return moves;
}

double Balancer::slowest(std::span<const std::int64_t> shares, std::span<const double> cost) const {
  double most = 0;
  for (std::size_t r = 0; r < shares.size(); ++r)
    most = std::max(most, static_cast<double>(shares[r]) * cost[r]);
  return most;
}

// One after another to the rank that would be done with it first: no shares have a quicker slowest rank.
std::vector<std::int64_t> Balancer::best(std::span<const double> cost) const {
  std::vector<std::int64_t> shares(cost.size(), 1);
  for (auto left = micro_batches_ - static_cast<std::int64_t>(cost.size()); left > 0; --left) {
    ++shares[first_done(shares, cost)];
  }
  return shares;
}

}  // namespace rondo
