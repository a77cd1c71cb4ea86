/// How many of a step's micro-batches each rank runs, from how long they take there.
///
/// Whole micro-batches move, so the bits of a step stay the same whoever runs them. Every rank has the same
/// numbers and comes to the same answer. A rank keeps at least one.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace rondo {

class Balancer {
 public:
  /// Shares change when others would make the slowest rank so much quicker: much, if each rank has been as
  /// slow as that in each of a few steps, so that single slow steps are noise; or less, on the average of
  /// many, where it also shows if a rank stands still now and then. Only such an average makes a slow rank a
  /// quick one again.
  static constexpr double kMuch = 0.2, kLess = 0.1;
  static constexpr std::size_t kGlance = 4, kLook = 256;
  static constexpr std::size_t kWarmUp =
      8;  ///< steps that touch memory and plan for the first time: not judged
  static constexpr int kLooks = 3;
  static constexpr std::size_t kFirstLook = 64;  ///< after a change, which a passing trouble may have caused
  /// Once shares have settled after a change, the slowest rank is relieved of one more micro-batch by way of
  /// trial, and again, as long as that makes kFirstLook steps shorter by kTrial: what a rank does beside its
  /// micro-batches takes its time, too.
  static constexpr double kTrial = 0.015;
  static constexpr double kSlow = 1.25;  ///< a rank that takes so much longer than the others is relieved so
  static constexpr double kRisk = 0.15;  ///< but not where costs tell that a step would be so much longer

  /// Begins with shares as equal as possible. micro_batches >= ranks.
  Balancer(std::int64_t micro_batches, int ranks);

  /// Micro-batches of each rank; ranks take them in order.
  std::span<const std::int64_t> shares() const { return shares_; }

  /// `seconds`: what each rank took for its share of one step, negative where it had other work beside, which
  /// counts for the average of many only; `length`: what the whole step took. True when shares have changed.
  ///
  /// They move by at most half of an equal share a rank at a time.
  bool observe(std::span<const float> seconds, double length);

  /// The rank that the others had better do without: the one micro-batch that it keeps makes a step longer by
  /// kMuch or more than if they ran that, too, on the average of kLook steps and this kLooks times in a row.
  std::optional<int> burden() const { return looks_ >= kLooks ? std::optional(burden_) : std::nullopt; }
  /// How often as long as the others' average a micro-batch takes on burden().
  double times_as_long() const { return times_as_long_; }

  /// For the log, after a change: "8 8 -> 12 4 micro-batches; one takes 11.2 34.0 ms".
  const std::string& account() const { return account_; }

 private:
  std::vector<double> least_of_glance() const;
  std::vector<double> mean_of_look(std::size_t steps) const;
  /// Better shares, if they gain so much.
  bool better(std::span<const double> cost, double gain, std::vector<std::int64_t>& target) const;
  /// burden() of one look, -1: nobody.
  int burden_by(std::span<const double> cost) const;
  void look_for_burden();
  std::vector<std::int64_t> towards(std::span<const std::int64_t> target) const;
  /// What to change to for a trial or after one; empty: nothing.
  std::vector<std::int64_t> next_trial(std::string& why);
  std::vector<std::int64_t> relieve();
  std::vector<std::int64_t> best(std::span<const double> cost) const;
  double slowest(std::span<const std::int64_t> shares, std::span<const double> cost) const;

  std::int64_t micro_batches_;
  std::vector<std::int64_t> shares_;
  std::vector<std::array<double, kLook>> costs_;     // [rank], seconds a micro-batch of the last steps
  std::vector<std::array<double, kGlance>> glance_;  // [rank], of the last without other work beside
  std::vector<std::size_t> glances_;                 // [rank], so many steps without it have been seen
  std::vector<double> known_;  // [rank], the cost that the last decision or look went by
  std::size_t steps_ = 0, unchanged_ = 0, changes_ = 0;  // seen
  std::vector<double> lengths_;        // seconds of each step with these shares, the first kFirstLook of them
  std::vector<std::int64_t> untried_;  // the shares before the trial that is under way
  double untried_s_ = 0;               // a step with those
  std::size_t relieved_ = 0;           // by the trial
  bool settled_ = true;                // nothing is left to try
  std::vector<double> unseen_;         // [rank], by how much trials have shown it to be slower than its costs
  int burden_ = -1, looks_ = 0;        // of the last look; so many looks in a row
  double times_as_long_ = 0;
  std::string account_;
};

/// Shares as equal as possible: the first of them are the smaller.
std::vector<std::int64_t> equal_shares(std::int64_t micro_batches, int ranks);

}  // namespace rondo
