#include "nccl/segment.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <random>

namespace gpusim {

ncclUniqueId Segment::create() {
  ncclUniqueId id{};
  std::snprintf(id.internal, sizeof id.internal, "/gpusim-nccl-%d-%08x", getpid(), std::random_device{}());
  int file = shm_open(id.internal, O_CREAT | O_EXCL | O_RDWR, 0600);
  if (file >= 0) {
    if (ftruncate(file, sizeof(Segment)) != 0) shm_unlink(id.internal);  // zeros, and no memory until touched
    close(file);
  }
  return id;
}

Segment* Segment::join(const ncclUniqueId& id) {
  int file = shm_open(id.internal, O_RDWR, 0600);
  if (file < 0) return nullptr;
  void* p = mmap(nullptr, sizeof(Segment), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  return p == MAP_FAILED ? nullptr : static_cast<Segment*>(p);
}

void Segment::leave() { munmap(this, sizeof(Segment)); }
void Segment::remove(const ncclUniqueId& id) { shm_unlink(id.internal); }

}  // namespace gpusim
