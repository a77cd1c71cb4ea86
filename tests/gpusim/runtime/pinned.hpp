// Page-locked host memory. The user's pages and the simulator's are two views of one file in memory, so that
// the user's view can be closed while a copy is in flight: touching it then is a bug, and is reported.
#pragma once

#include "memory/table.hpp"
#include "runtime/scheduler.hpp"

namespace gpusim {

// Until the host knows that `op` is done, it must not touch p (write: an operation fills it), or not write to
// it (an operation reads it). Nothing happens for memory that is not pinned.
void guard_in_flight(Allocation* a, const void* p, size_t size, bool write, const OperationPtr& op);
// A host that follows a device pointer dies of it, but not without a word.
void watch_faults();
// Opens again what the host now knows to be done.
void open_finished();

}  // namespace gpusim
