#include <array>
#include <chrono>

#include "rondo/core/error.hpp"
#include "rondo/data/series.hpp"

namespace rondo {

namespace ch = std::chrono;

CivilTime civil_time(std::int64_t seconds) {
  const auto point = ch::sys_seconds(ch::seconds(seconds));
  const auto day = ch::floor<ch::days>(point);
  const ch::year_month_day date(day);
  const ch::hh_mm_ss clock(point - day);
  CivilTime time;
  time.year = static_cast<int>(date.year());
  time.month = static_cast<int>(static_cast<unsigned>(date.month()));
  time.day = static_cast<int>(static_cast<unsigned>(date.day()));
  time.hour = static_cast<int>(clock.hours().count());
  time.minute = static_cast<int>(clock.minutes().count());
  time.second = static_cast<int>(clock.seconds().count());
  time.weekday = static_cast<int>(ch::weekday(day).iso_encoding()) - 1;
  time.day_of_year = static_cast<int>((day - ch::sys_days(date.year() / ch::January / 1)).count()) + 1;
  return time;
}

std::int64_t seconds_of(int year, int month, int day, int hour, int minute, int second) {
  const ch::year_month_day date(ch::year(year), ch::month(static_cast<unsigned>(month)),
                                ch::day(static_cast<unsigned>(day)));
  const auto point = ch::sys_days(date) + ch::hours(hour) + ch::minutes(minute) + ch::seconds(second);
  return point.time_since_epoch().count();
}

std::optional<std::int64_t> parse_time(std::string_view text) {
  if (text.ends_with('Z')) text.remove_suffix(1);
  constexpr std::string_view pattern = "####-##-##T##:##:##";
  if (text.size() != pattern.size() && text.size() != pattern.size() - 3) return std::nullopt;
  std::array<int, 6> parts{};  // year, month, day, hour, minute, second
  std::size_t part = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (pattern[i] == '#') {
      if (text[i] < '0' || text[i] > '9') return std::nullopt;
      parts[part] = parts[part] * 10 + (text[i] - '0');
    } else {
      if (text[i] != pattern[i] && !(pattern[i] == 'T' && text[i] == ' ')) return std::nullopt;
      ++part;
    }
  }
  const auto [year, month, day, hour, minute, second] = parts;
  const ch::year_month_day date(ch::year(year), ch::month(static_cast<unsigned>(month)),
                                ch::day(static_cast<unsigned>(day)));
  if (!date.ok() || hour > 23 || minute > 59 || second > 59) return std::nullopt;
  return seconds_of(year, month, day, hour, minute, second);
}

std::string format_time(std::int64_t seconds) {
  const CivilTime t = civil_time(seconds);
  return fmt::format("{:04d}-{:02d}-{:02d}T{:02d}:{:02d}:{:02d}", t.year, t.month, t.day, t.hour, t.minute,
                     t.second);
}

}  // namespace rondo
