/// The account of a run: one line of RUN/attempts.jsonl for every time that `rondo launch` started it, and
/// one for every loss of ranks that it survived.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace rondo {

struct Attempt {
  int number = 0;     ///< from 0
  std::string began;  ///< UTC, ISO 8601
  int ranks = 0;
  std::int64_t from_step = -1;     ///< -1: no rank got so far
  std::int64_t reached_step = -1;  ///< as far as heartbeats told
  double seconds = 0;
  /// From the moment at which launch noticed the failure before to the first step that is done; -1: none was.
  double outage_s = -1;
  std::vector<int> lost;  ///< ranks that died, hung or were given up
  std::string what;       ///< what happened, for readers

  nlohmann::ordered_json json() const;
  static Attempt from_json(const nlohmann::json& json);
};

std::string utc_now();  ///< ISO 8601
void append_attempt(const std::string& run_directory, const Attempt& attempt);
/// All attempts of all launches, oldest first; lines torn by a crash are left out.
std::vector<Attempt> read_attempts(const std::string& run_directory);
std::string table_of(const std::vector<Attempt>& attempts);

}  // namespace rondo
