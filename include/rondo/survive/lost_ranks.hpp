/// Ranks that were lost in the job, which goes on without them: what to tell, and the line of the account.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "rondo/survive/attempts.hpp"

namespace rondo {

struct LostRanks {
  std::vector<int> lost;  ///< by the ranks they had at the start
  double noticed = 0;     ///< now_s()
  std::int64_t step = 0;  ///< that was in flight

  /// More ranks, while the survivors were to run step `step`. Their last heartbeats tell who they were.
  void add(const std::string& run_directory, std::span<const int> ranks, std::int64_t step);
  /// What else is to be told of it, if it is not empty.
  void note(const std::string& text);
  /// "rank 2 (node7, pid 123) died in step 17 (backward)".
  const std::string& what() const { return what_; }
  /// As `rondo inspect` lists it.
  Attempt account(int ranks_left, double outage_s) const;

 private:
  std::string what_;
};

}  // namespace rondo
