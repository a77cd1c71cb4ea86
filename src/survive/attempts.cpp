#include "rondo/survive/attempts.hpp"

#include <ctime>
#include <fstream>

#include "rondo/core/error.hpp"

namespace rondo {
namespace {
std::string path_of(const std::string& run_directory) { return run_directory + "/attempts.jsonl"; }
std::string or_dash(std::int64_t value) { return value < 0 ? "-" : std::to_string(value); }
}  // namespace

nlohmann::ordered_json Attempt::json() const {
  return {{"attempt", number},
          {"began", began},
          {"ranks", ranks},
          {"from_step", from_step},
          {"reached_step", reached_step},
          {"seconds", seconds},
          {"outage_s", outage_s},
          {"lost", lost},
          {"what", what}};
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&now));
  return text;
}

Attempt Attempt::from_json(const nlohmann::json& json) {
  Attempt a;
  a.number = json.value("attempt", 0);
  a.began = json.value("began", "");
  a.ranks = json.value("ranks", 0);
  a.from_step = json.value("from_step", std::int64_t{-1});
  a.reached_step = json.value("reached_step", std::int64_t{-1});
  a.seconds = json.value("seconds", 0.0);
  a.outage_s = json.value("outage_s", -1.0);
  a.lost = json.value("lost", std::vector<int>{});
  a.what = json.value("what", "");
  return a;
}

void append_attempt(const std::string& run_directory, const Attempt& attempt) {
  std::ofstream out(path_of(run_directory), std::ios::app);
  out << attempt.json().dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
}

std::vector<Attempt> read_attempts(const std::string& run_directory) {
  std::ifstream in(path_of(run_directory));
  std::vector<Attempt> attempts;
  for (std::string line; std::getline(in, line);) {
    const auto parsed = nlohmann::json::parse(line, nullptr, false);
    if (!parsed.is_object()) continue;
    try {
      attempts.push_back(Attempt::from_json(parsed));
    } catch (const nlohmann::json::exception&) {  // not ours
    }
  }
  return attempts;
}

std::string table_of(const std::vector<Attempt>& attempts) {
  std::string text = fmt::format("{:>7}  {:<20}  {:>5}  {:>9}  {:>7}  {:>7}  {:>8}  {}\n", "attempt", "began",
                                 "ranks", "from step", "reached", "seconds", "outage,s", "what happened");
  for (const Attempt& a : attempts)
    text += fmt::format("{:>7}  {:<20}  {:>5}  {:>9}  {:>7}  {:>7.1f}  {:>8}  {}\n", a.number, a.began,
                        a.ranks, or_dash(a.from_step), or_dash(a.reached_step), a.seconds,
                        a.outage_s < 0 ? "-" : fmt::format("{:.2f}", a.outage_s), a.what);
  return text;
}

}  // namespace rondo
