/// Faults on demand: how tests and `scripts/chaos` let a rank die, hang, stop or crawl at a chosen moment.
///
/// RONDO_CHAOS="rank=1,step=37,phase=backward,fault=kill", several separated by ';'. Keys: `rank`, `step`,
/// `phase` (see Phase), `bucket` (not before so many were sent), `entry` (not before so many entries to that
/// phase in that step, 1 if not given), `attempt` (of `rondo launch`, from 0; -1:
/// every one; 0 if not given) and `fault`:
///   kill, segv   the signal           exit   _exit(3), without a word
///   stop         SIGSTOP              hang   the training thread sleeps for ever
///   slow         `us` microseconds (5000 if not given) at this entry to a phase and the next `entries` (400)
///   flip         one bit of this rank's state: bit number `bit` (0 if not given) of the first array whose
///   name
///                begins with `array`, as `rondo inspect` lists them; "gradients/" as "parameters/", with
///                phase=backward and bucket=n when bucket n - 1 is about to be summed (with one micro-batch a
///                rank in shared memory: to be guarded)
#pragma once

#include <functional>
#include <string>

#include "rondo/core/state.hpp"

namespace rondo {

/// Reads the variable; does nothing, and costs nothing later, when it is not set. InputError when it is
/// wrong.
/// `visit`: goes over the state of this rank, while it trains.
void arm_chaos(int rank, std::function<void(StateVisitor&)> visit);

/// Flips one bit of the first array it comes by whose name begins with `array`: number `bit` mod its size.
class BitFlip : public StateVisitor {
 public:
  BitFlip(std::string array, std::size_t bit) : array_(std::move(array)), bit_(bit) {}
  void array(std::string_view name, DType, const StateBytes& data, std::span<const std::int64_t>) override;
  void scalar(std::string_view, std::int64_t&) override {}
  void scalar(std::string_view, double&) override {}
  void scalar(std::string_view, std::string&) override {}
  bool done() const { return done_; }

 private:
  std::string array_;
  std::size_t bit_;
  bool done_ = false;
};

}  // namespace rondo
