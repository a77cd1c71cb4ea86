#include "runtime/runtime.hpp"

#include "interp/thread.hpp"
#include "report.hpp"
#include "runtime/config.hpp"
#include "runtime/pinned.hpp"
#include "runtime/use.hpp"

namespace gpusim {
namespace {

thread_local int device = 0;
thread_local cudaError_t last = cudaSuccess;
cudaError_t sticky = cudaSuccess;

std::vector<size_t>& used() {
  static auto* list = new std::vector<size_t>(static_cast<size_t>(std::max(config().devices, 1)));
  return *list;
}

// "kind: text", as faults are worded.
void report_line(const std::string& line) {
  size_t colon = line.find(": ");
  if (colon == std::string::npos)
    report("error", line);
  else
    report(line.substr(0, colon), line.substr(colon + 2));
}

}  // namespace

int current_device() { return device; }
cudaError_t set_current_device(int d) {
  if (d < 0 || d >= config().devices) return fail(cudaErrorInvalidDevice);
  device = d;
  return cudaSuccess;
}

namespace {
uint64_t peers[64];
}
uint64_t reachable_from(int d) { return peers[d] | uint64_t{1} << d; }
void set_reachable(int d, int peer, bool may) {
  uint64_t bit = uint64_t{1} << peer;
  peers[d] = may ? peers[d] | bit : peers[d] & ~bit;
}

cudaError_t fail(cudaError_t error) {
  if (error != cudaSuccess) last = error;
  return error;
}
void poison(cudaError_t error) {
  if (sticky == cudaSuccess) sticky = error;
}
cudaError_t take_last_error(bool clear) {
  std::lock_guard lock(scheduler().mutex);
  if (sticky != cudaSuccess) return sticky;
  cudaError_t error = last;
  if (clear) last = cudaSuccess;
  return error;
}

size_t used_memory(int d) { return used()[static_cast<size_t>(d)]; }
void add_used_memory(int d, ptrdiff_t bytes) { used()[static_cast<size_t>(d)] += static_cast<size_t>(bytes); }

cudaError_t api(const std::function<cudaError_t()>& call) {
  if (config().devices < 1) return fail(cudaErrorNoDevice);
  std::lock_guard lock(scheduler().mutex);
  cudaError_t error = cudaSuccess;
  try {
    scheduler().drift();
    error = call();
  } catch (const UseError& e) {
    report_line(e.what());
    error = e.code;
  } catch (const std::exception& e) {  // PTX that cannot be read
    report_line(e.what());
    error = cudaErrorInvalidDeviceFunction;
  }
  open_finished();
  if (reports() > 0) poison(cudaErrorLaunchFailure);
  return fail(sticky != cudaSuccess ? sticky : error);
}

Stream& stream_of(cudaStream_t handle) {
  if (Stream* s = scheduler().stream(handle, device)) return *s;
  throw UseError(cudaErrorInvalidResourceHandle, "invalid handle: no such stream");
}

std::function<Progress(Operation&)> guarded(std::function<Progress(Operation&)> body) {
  return [body = std::move(body)](Operation& op) {
    if (sticky != cudaSuccess) return Progress::done;  // a broken context does nothing any more
    try {
      return body(op);
    } catch (const UseError& e) {
      report_line(e.what());
      poison(e.code);
    } catch (const Fault& e) {
      report_line(e.what());
      poison(e.code == Fault::illegal_address ? cudaErrorIllegalAddress
             : e.code == Fault::misaligned    ? cudaErrorMisalignedAddress
                                              : cudaErrorLaunchFailure);
    }
    return Progress::done;
  };
}

}  // namespace gpusim
