#include "rondo/survive/balancer.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

#include "rondo/core/error.hpp"

namespace rondo {
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
      known_(static_cast<std::size_t>(ranks)) {
  RONDO_CHECK(micro_batches >= ranks, "{} micro-batches are too few for {} ranks", micro_batches, ranks);
}

bool Balancer::observe(std::span<const float> seconds) {
  RONDO_CHECK(seconds.size() == shares_.size(), "times of {} ranks, not {}", seconds.size(), shares_.size());
  for (std::size_t r = 0; r < shares_.size(); ++r)  // no rank is taken to be infinitely quick
    costs_[r][steps_ % kLook] =
        std::max(1e-7, static_cast<double>(seconds[r]) / static_cast<double>(shares_[r]));
  ++steps_;
  ++unchanged_;
  if (steps_ > kLook && steps_ % kLook == 0) look_for_burden();
  if (steps_ < kWarmUp + kGlance) return false;
  std::vector<double> cost = least_of_glance();
  std::vector<std::int64_t> target;
  bool change = better(cost, kMuch, target);
  const bool first_look = changes_ > 0 && unchanged_ == kFirstLook;
  if (!change && (first_look || unchanged_ % kLook == 0)) {
    cost = mean_of_look(first_look ? kFirstLook : kLook);
    change = better(cost, kLess, target);
    known_ = cost;
  }
  if (!change) return false;
  const std::vector<std::int64_t> before = shares_;
  move_towards(target);
  unchanged_ = 0;
  ++changes_;
  known_ = cost;
  for (double& one : cost) one *= 1e3;
  account_ = fmt::format("{} -> {} micro-batches; one takes {:.3g} ms", fmt::join(before, " "),
                         fmt::join(shares_, " "), fmt::join(cost, " "));
  return true;
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
  for (std::size_t r = 0; r < costs_.size(); ++r) {
    const auto& of_rank = costs_[r];
    double least = of_rank[(steps_ - 1) % kLook];
    for (std::size_t back = 2; back <= kGlance; ++back)
      least = std::min(least, of_rank[(steps_ - back) % kLook]);
    cost.push_back(std::max(least, known_[r]));
  }
  return cost;
}

std::vector<double> Balancer::mean_of_look(std::size_t steps) const {
  constexpr double kOnce =
      16;  // so many medians: not even a rank that sleeps nine tenths of its time takes more
  std::vector<double> cost;
  for (const auto& of_rank : costs_) {
    std::vector<double> last;
    for (std::size_t back = 1; back <= steps; ++back) last.push_back(of_rank[(steps_ - back) % kLook]);
    const auto middle = last.begin() + static_cast<std::ptrdiff_t>(steps / 2);
    std::ranges::nth_element(last, middle);
    const double most = kOnce * *middle;
    double sum = 0;
    for (const double one : last) sum += std::min(one, most);
    cost.push_back(sum / static_cast<double>(steps));
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
void Balancer::move_towards(std::span<const std::int64_t> target) {
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
  for (std::size_t r = 0; r < shares_.size(); ++r) shares_[r] += moves[r];
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
    std::size_t first = 0;
    double soonest = std::numeric_limits<double>::infinity();
    for (std::size_t r = 0; r < cost.size(); ++r) {
      const double done = static_cast<double>(shares[r] + 1) * cost[r];
      if (done < soonest) soonest = done, first = r;
    }
    ++shares[first];
  }
  return shares;
}

}  // namespace rondo
