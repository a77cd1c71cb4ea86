#include <algorithm>

#include "rondo/core/config.hpp"
#include "rondo/survive/watchdog.hpp"

namespace rondo {
namespace {

constexpr double kTimesUsual = 20, kPatient = 10, kForget = 0.01;

// These may wait for disks, data and whole evaluations.
bool patient(Phase phase) {
  return phase == Phase::starting || phase == Phase::evaluation || phase == Phase::checkpoint ||
         phase == Phase::loading || phase == Phase::leaving;
}

}  // namespace

void WatchdogOptions::visit(Fields& fields) {
  fields.field(
      "recovery.watchdog_s", floor_s, {0, 1e6}, Effect::operational,
      "least seconds without progress that count as a hang; a phase that takes long gets more, 0: no limit");
}

void PhaseLimits::learn(Position was, double seconds, Position now) {
  Usual& usual = usual_[static_cast<int>(was.phase)];
  usual.passed = true;
  usual.seconds = seconds > usual.seconds ? seconds : usual.seconds + kForget * (seconds - usual.seconds);
  // Phases too short to be sampled have been passed when two steps have.
  if (now.step >= first_step_ + 2)
    for (Usual& each : usual_) each.passed = true;
}

double PhaseLimits::limit_s(Phase phase) const {
  const Usual& usual = usual_[static_cast<int>(phase)];
  const double least = patient(phase) || !usual.passed ? kPatient * floor_s_ : floor_s_;
  return floor_s_ == 0 ? 0 : std::max(least, kTimesUsual * usual.seconds);
}

}  // namespace rondo
