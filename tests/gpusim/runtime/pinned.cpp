#include "runtime/pinned.hpp"

#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstring>

#include "report.hpp"
#include "runtime/config.hpp"
#include "runtime/runtime.hpp"
#include "runtime/use.hpp"

namespace gpusim {
namespace {

constexpr size_t page = 4096;

struct Guard {
  Allocation* allocation;
  size_t begin, end;
  bool write;
  OperationPtr operation;
};
std::vector<Guard>& guards() {
  static auto* list = new std::vector<Guard>;
  return *list;
}

bool has_two_views(const Allocation& a) { return a.data != reinterpret_cast<uint8_t*>(a.base); }
size_t mapped(const Allocation& a) { return (a.size + page - 1) / page * page; }

// Closes the pages that lie wholly in a guarded range: a page's other bytes may be in use.
void set_protection(const Allocation& a) {
  auto wanted = [&](size_t begin) {
    size_t end = std::min(begin + page, a.size);
    int protection = PROT_READ | PROT_WRITE;
    for (const Guard& g : guards()) {
      if (g.allocation != &a || g.begin > begin || g.end < end) continue;
      protection &= g.write ? PROT_NONE : PROT_READ;
    }
    return protection;
  };
  for (size_t begin = 0; begin < a.size;) {
    int protection = wanted(begin);
    size_t end = begin + page;
    while (end < a.size && wanted(end) == protection) end += page;
    mprotect(reinterpret_cast<void*>(a.base + begin), end - begin, protection);
    begin = end;
  }
}

struct sigaction earlier;

// A synchronous fault in the program's own code, so taking locks is as safe as in a call.
void on_fault(int, siginfo_t* info, void* context) {
  auto address = reinterpret_cast<uint64_t>(info->si_addr);
  std::lock_guard lock(scheduler().mutex);
  Allocation* a = memory().find(address);
  size_t at = a ? address - a->base : 0;
  bool write = static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_ERR] & 2;
  for (size_t k = 0; a && a->kind == MemoryKind::pinned && k < guards().size(); ++k) {
    Guard g = guards()[k];
    if (g.allocation != a || at < g.begin || at >= g.end) continue;
    report("host not synchronised", std::string("the host ") + (write ? "writes" : "reads") + " byte " +
                                        std::to_string(at) + " of " + a->name + ", which " +
                                        g.operation->event->name + (g.write ? " writes" : " reads") +
                                        "; expected a synchronisation between them");
    poison(cudaErrorLaunchFailure);
    std::erase_if(guards(), [&](const Guard& other) { return other.allocation == a; });
    set_protection(*a);
    return;
  }
  if (MemoryTable::is_device_address(address))
    report("host touches device memory",
           a ? "byte " + std::to_string(at) + " of " + a->name : memory().neighbour(address));
  sigaction(SIGSEGV, &earlier, nullptr);  // the fault comes again, and whoever was here before handles it
}

void listen() {
  struct sigaction now;
  sigaction(SIGSEGV, nullptr, &now);
  if (now.sa_sigaction == on_fault) return;  // else: never installed, or a test framework came later
  earlier = now;
  struct sigaction ours {};
  ours.sa_sigaction = on_fault;
  ours.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigemptyset(&ours.sa_mask);
  sigaction(SIGSEGV, &ours, nullptr);
}

cudaError_t allocate_pinned(void** p, size_t size) {
  *p = nullptr;
  if (size == 0) return cudaSuccess;
  size_t bytes = (size + page - 1) / page * page;
  int file = memfd_create("gpusim", MFD_CLOEXEC);
  if (file < 0 || ftruncate(file, static_cast<off_t>(bytes)) != 0) return cudaErrorMemoryAllocation;
  void* user = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  void* alias = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (user == MAP_FAILED || alias == MAP_FAILED) return cudaErrorMemoryAllocation;
  memory().add_pinned(user, static_cast<uint8_t*>(alias), size);
  *p = user;
  return cudaSuccess;
}

// Waits for what is in flight, but says that the host did not.
void settle(Allocation& a, const char* who) {
  std::vector<Guard> mine;
  for (const Guard& g : guards())
    if (g.allocation == &a) mine.push_back(g);
  for (const Guard& g : mine) {
    report("host not synchronised", std::string(who) + " of " + a.name + " that " + g.operation->event->name +
                                        " still " + (g.write ? "writes" : "reads") +
                                        "; expected a synchronisation between them");
    scheduler().wait(g.operation);
  }
  std::erase_if(guards(), [&](const Guard& g) { return g.allocation == &a; });
}

Allocation* pinned_at(void* p) {
  Allocation* a = memory().find(reinterpret_cast<uint64_t>(p));
  return a && a->kind == MemoryKind::pinned && a->base == reinterpret_cast<uint64_t>(p) ? a : nullptr;
}

}  // namespace

void watch_faults() { listen(); }

void guard_in_flight(Allocation* a, const void* p, size_t size, bool write, const OperationPtr& op) {
  if (!a || a->kind != MemoryKind::pinned) return;
  size_t begin = reinterpret_cast<uint64_t>(p) - a->base;
  guards().push_back({a, begin, begin + size, write, op});
  if (!has_two_views(*a) || !config().protect) return;
  listen();
  set_protection(*a);
}

void open_finished() {
  std::vector<Allocation*> changed;
  std::erase_if(guards(), [&](const Guard& g) {
    if (!scheduler().known_to_host(*g.operation->event)) return false;
    changed.push_back(g.allocation);
    return true;
  });
  for (Allocation* a : changed)
    if (has_two_views(*a)) set_protection(*a);
}

}  // namespace gpusim

using namespace gpusim;

extern "C" {

cudaError_t cudaHostAlloc(void** p, size_t size, unsigned) {
  return api([&] { return allocate_pinned(p, size); });
}
cudaError_t cudaMallocHost(void** p, size_t size) { return cudaHostAlloc(p, size, 0); }
cudaError_t cudaFreeHost(void* p) {
  return api([&] {
    if (!p) return cudaSuccess;
    Allocation* a = pinned_at(p);
    if (!a || !has_two_views(*a)) return cudaErrorInvalidValue;
    settle(*a, "cudaFreeHost");
    munmap(p, mapped(*a));
    munmap(a->data, mapped(*a));
    memory().remove(a);
    return cudaSuccess;
  });
}

// Memory of the program's own has one view only: its use is checked through API calls, not page by page.
cudaError_t cudaHostRegister(void* p, size_t size, unsigned) {
  return api([&] {
    if (!p || size == 0) return cudaErrorInvalidValue;
    if (memory().find(reinterpret_cast<uint64_t>(p))) return cudaErrorHostMemoryAlreadyRegistered;
    memory().add_pinned(p, static_cast<uint8_t*>(p), size);
    return cudaSuccess;
  });
}
cudaError_t cudaHostUnregister(void* p) {
  return api([&] {
    Allocation* a = pinned_at(p);
    if (!a || has_two_views(*a)) return cudaErrorHostMemoryNotRegistered;
    settle(*a, "cudaHostUnregister");
    memory().remove(a);
    return cudaSuccess;
  });
}
cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned) {
  *device = host;
  return cudaSuccess;
}

}  // extern "C"
