#include "runtime/use.hpp"

#include "report.hpp"

namespace gpusim {

Allocation* allocation_of(const void* p, size_t size, const std::string& who) {
  auto address = reinterpret_cast<uint64_t>(p);
  Allocation* a = memory().find(address);
  if (a && a->freed)
    throw UseError(cudaErrorIllegalAddress, "use after free: " + who + " touches freed " + a->name);
  if (a && address + size > a->base + a->size)
    throw UseError(cudaErrorInvalidValue, "out of bounds: " + who + " touches " + std::to_string(size) +
                                              " bytes at byte " + std::to_string(address - a->base) + " of " +
                                              a->name + " of " + std::to_string(a->size) + " bytes");
  if (!a && size > 0 && MemoryTable::is_device_address(address))
    throw UseError(cudaErrorInvalidValue,
                   "out of bounds: " + who + " touches an address " + memory().neighbour(address));
  return a;
}

void enter(Allocation& a, size_t begin, size_t end, bool write, const EventPtr& event) {
  if (begin == end) return;
  a.history.access(begin, end, write, event, [&](const Event& earlier, bool earlier_wrote, size_t at) {
    bool host = earlier.stream == 0 || event->stream == 0;
    report(host ? "host not synchronised" : "operations not ordered",
           event->name + (write ? " writes" : " reads") + " byte " + std::to_string(at) + " of " + a.name +
               ", which " + earlier.name + (earlier_wrote ? " writes" : " reads") +
               (host ? "; expected a synchronisation between them"
                     : "; expected an event and cudaStreamWaitEvent between them"));
  });
}

}  // namespace gpusim
