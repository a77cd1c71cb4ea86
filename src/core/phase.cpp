#include "rondo/core/phase.hpp"

#include <array>

namespace rondo {
namespace {
constexpr std::array<std::string_view, kPhases> kNames = {
    "starting",     "evaluation", "checking", "checkpoint", "loading",  "forward",    "backward", "exchange",
    "control_word", "optimizer",  "sharing",  "leaving",    "recovery", "regrouping", "restoring"};
}  // namespace

std::string_view name_of(Phase phase) {
  const auto index = static_cast<std::size_t>(phase);
  return index < kNames.size() ? kNames[index] : "nowhere";
}

std::optional<Phase> phase_of(std::string_view name) {
  for (std::size_t i = 0; i < kNames.size(); ++i)
    if (kNames[i] == name) return static_cast<Phase>(i);
  return std::nullopt;
}

}  // namespace rondo
