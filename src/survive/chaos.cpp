#include "rondo/survive/chaos.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "rondo/core/error.hpp"
#include "rondo/core/log.hpp"
#include "rondo/core/phase.hpp"
#include "rondo/survive/heartbeat.hpp"

namespace rondo {
namespace {

struct Fault {
  int rank = -1, bucket = 0, entry = 1, attempt = 0;
  std::int64_t step = -1;
  Phase phase = Phase::starting;
  std::string kind, array;
  std::size_t bit = 0;
  int slow_entries = 400, slow_us = 5000;
  bool begun = false, struck = false;
};

std::vector<Fault>& faults() {
  static std::vector<Fault> list;
  return list;
}

std::function<void(StateVisitor&)>& state() {
  static std::function<void(StateVisitor&)> visit;
  return visit;
}

void flip(const Fault& fault) {
  BitFlip flip(fault.array, fault.bit);
  state()(flip);
  if (!flip.done()) input_error("RONDO_CHAOS: there is no array whose name begins with \"{}\"", fault.array);
}

void strike(Fault& fault) {
  if (fault.kind != "slow" && !fault.struck)
    log_line(fmt::format("chaos: {} in {}", fault.kind, name_of(Position::of(position_word()).phase)));
  if (fault.kind == "kill") raise(SIGKILL);
  if (fault.kind == "segv") raise(SIGSEGV);
  if (fault.kind == "exit") _exit(3);
  if (fault.kind == "flip" && !std::exchange(fault.struck, true)) flip(fault);
  if (fault.kind == "stop") kill(getpid(), SIGSTOP);
  while (fault.kind == "hang") std::this_thread::sleep_for(std::chrono::seconds(1));
  if (fault.kind == "slow" && fault.slow_entries-- > 0)
    std::this_thread::sleep_for(std::chrono::microseconds(fault.slow_us));
}

void at_entry() {
  const Position at = Position::of(position_word());
  for (Fault& fault : faults()) {
    if (!fault.begun)
      fault.begun =
          at.step == fault.step && at.phase == fault.phase && at.bucket >= fault.bucket && --fault.entry <= 0;
    if (fault.begun) strike(fault);
  }
}

Fault parsed(const std::string& text) {
  Fault fault;
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, ',');) {
    const std::string key = part.substr(0, part.find('=')),
                      value = part.substr(std::min(key.size() + 1, part.size()));
    const int number = std::atoi(value.c_str());
    if (key == "rank")
      fault.rank = number;
    else if (key == "step")
      fault.step = number;
    else if (key == "bucket")
      fault.bucket = number;
    else if (key == "entry")
      fault.entry = number;
    else if (key == "attempt")
      fault.attempt = number;
    else if (key == "bit")
      fault.bit = static_cast<std::size_t>(std::max(number, 0));
    else if (key == "entries")
      fault.slow_entries = number;
    else if (key == "us")
      fault.slow_us = number;
    else if (key == "array")
      fault.array = value;
    else if (key == "fault")
      fault.kind = value;
    else if (key == "phase" && phase_of(value))
      fault.phase = *phase_of(value);
    else
      input_error(
          "RONDO_CHAOS: \"{}\" is not a rank, step, phase, bucket, entry, attempt, array, bit, entries, us "
          "or "
          "fault",
          part);
  }
  constexpr std::string_view kKinds[] = {"kill", "segv", "exit", "stop", "hang", "slow", "flip"};
  if (std::ranges::find(kKinds, fault.kind) == std::end(kKinds) || fault.rank < 0 || fault.step < 0)
    input_error(
        "RONDO_CHAOS: \"{}\" needs a rank, a step and a fault: kill, segv, exit, stop, hang, slow or flip",
        text);
  return fault;
}

}  // namespace

void BitFlip::array(std::string_view name, DType, const StateBytes& data, std::span<const std::int64_t>) {
  if (done_ || !name.starts_with(array_) || data.size == 0) return;
  std::vector<std::byte> bytes(data.size);
  data.copy_out(bytes.data());
  bytes[bit_ / 8 % bytes.size()] ^= std::byte{1} << (bit_ % 8);
  data.copy_in(bytes.data());
  done_ = true;
}

void arm_chaos(int rank, std::function<void(StateVisitor&)> visit) {
  const char* text = std::getenv("RONDO_CHAOS");
  if (text == nullptr) return;
  const int attempt = JobName::of_environment().attempt;
  std::istringstream all(text);
  for (std::string one; std::getline(all, one, ';');) {
    Fault fault = parsed(one);
    if (fault.rank == rank && (fault.attempt == attempt || fault.attempt == -1)) faults().push_back(fault);
  }
  if (faults().empty()) return;
  state() = std::move(visit);
  on_entry(at_entry);
}

}  // namespace rondo
