#include "runtime/enqueue.h"

#include "report.hpp"
#include "runtime/runtime.hpp"
#include "runtime/use.hpp"

namespace gpusim {
namespace {

void enter_piece(const void* begin, size_t bytes, bool write, const EventPtr& event) {
  if (bytes == 0) return;
  Allocation* a = allocation_of(begin, bytes, event->name);
  if (!a) {
    throw UseError(cudaErrorIllegalAddress,
                   "invalid pointer: " + event->name + " got memory that no CUDA call gave out");
  }
  size_t at = reinterpret_cast<uint64_t>(begin) - a->base;
  enter(*a, at, at + bytes, write, event);
  if (write) {
    a->shadow.set_valid(at, bytes, true);
  } else if (int64_t bad = a->shadow.first_invalid(at, bytes); bad >= 0) {
    report("uninitialised read by a library", event->name + " reads byte " + std::to_string(bad) + " of " +
                                                  a->name + ", which nobody has written");
  }
}

struct Work {
  std::vector<gpusim_range> ranges;
  int (*run)(void*) = nullptr;
  void* argument = nullptr;
  void (*destroy)(void*) = nullptr;
  bool entered = false;
  Work() = default;
  Work(const Work&) = delete;
  ~Work() {
    if (destroy) destroy(argument);
  }
};

}  // namespace
}  // namespace gpusim

using namespace gpusim;

extern "C" {

cudaError_t gpusim_enqueue(cudaStream_t stream, const char* name, const gpusim_range* ranges, size_t count,
                           int (*run)(void*), void* argument, void (*destroy)(void*)) {
  auto work = std::make_shared<Work>();
  work->ranges.assign(ranges, ranges + count);
  work->run = run;
  work->argument = argument;
  work->destroy = destroy;
  return api([&] {
    scheduler().enqueue(stream_of(stream), name, guarded([work](Operation& op) {
                          if (!work->entered) {
                            // Reads first: an operation may write what it reads.
                            for (int write : {0, 1})
                              for (const gpusim_range& r : work->ranges)
                                for (size_t k = 0; r.write == write && k < r.count; ++k)
                                  enter_piece(static_cast<const char*>(r.begin) + k * r.pitch, r.bytes,
                                              r.write, op.event);
                            work->entered = true;
                          }
                          if (!work->run(work->argument)) return Progress::not_yet;
                          work->entered = false;  // a graph runs it again
                          return Progress::done;
                        }));
    return cudaSuccess;
  });
}

void gpusim_progress_in_background() {
  std::lock_guard lock(scheduler().mutex);
  scheduler().run_in_background();
}

void* gpusim_bytes(const void* p) { return bytes_of(memory().find(reinterpret_cast<uint64_t>(p)), p); }

void gpusim_report(const char* kind, const char* text) { report(kind, text); }

}  // extern "C"
