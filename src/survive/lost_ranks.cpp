#include "rondo/survive/lost_ranks.hpp"

#include "rondo/core/error.hpp"
#include "rondo/survive/heartbeat.hpp"

namespace rondo {

void LostRanks::add(const std::string& run_directory, std::span<const int> ranks, std::int64_t now) {
  step = now;
  for (const int rank : ranks) {
    const auto beat = read_beat(run_directory, rank);
    // Heartbeats come ten times a second: where a quick step ended for it nobody may know.
    const bool exact = beat && beat->position().step == step;
    if (!what_.empty()) what_ += "; ";
    what_ += fmt::format("{} died in step {}{}", beat ? beat->who() : fmt::format("rank {}", rank), step,
                         exact ? fmt::format(" ({})", name_of(beat->position().phase)) : "");
    lost.push_back(rank);
  }
}

void LostRanks::note(const std::string& text) {
  if (!text.empty()) what_ += "; " + text;
}

Attempt LostRanks::account(int ranks_left, double outage_s) const {
  Attempt account;
  account.number = JobName::of_environment().attempt;
  account.began = utc_now();
  account.ranks = ranks_left;
  account.from_step = account.reached_step = step;
  account.outage_s = outage_s;
  account.lost = lost;
  account.what = what_ + "; the others went on";
  return account;
}

}  // namespace rondo
