#include "mapping.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <random>
#include <vector>

#include "rondo/core/error.hpp"
#include "rondo/core/huge_pages.hpp"

namespace rondo {
namespace {

/// The name of a segment, as long as it has one: rank 0 makes it and takes it away again.
struct SegmentName {
  std::array<char, 64> text{};
  bool created = false;
  void remove() {
    if (std::exchange(created, false)) shm_unlink(text.data());
  }
  ~SegmentName() { remove(); }
};

struct FileDescriptor {
  int fd = -1;
  ~FileDescriptor() {
    if (fd >= 0) close(fd);
  }
};

int create_segment(SegmentName& name, std::size_t bytes) {
  std::random_device random;
  fmt::format_to_n(name.text.data(), name.text.size() - 1, "/rondo-{}-{:08x}{:08x}", getpid(), random(),
                   random());
  const int fd = shm_open(name.text.data(), O_CREAT | O_EXCL | O_RDWR, 0600);
  if (fd < 0) return -1;
  name.created = true;
  if (ftruncate(fd, static_cast<off_t>(bytes)) == 0) return fd;
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

/// mmap at an address where huge pages can lie, if there is room for one. `file` -1: of this process alone.
void* map_aligned(int file, std::size_t bytes) {
  const int flags = file < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
  if (bytes < kHugePage) return mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, file, 0);
  void* const room =
      mmap(nullptr, bytes + kHugePage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) return room;
  auto* const begin = static_cast<std::byte*>(room);
  const std::size_t before = -reinterpret_cast<std::uintptr_t>(room) % kHugePage;
  void* const memory = mmap(begin + before, bytes, PROT_READ | PROT_WRITE, flags | MAP_FIXED, file, 0);
  const int error = errno;
  if (memory == MAP_FAILED) {
    munmap(room, bytes + kHugePage);
  } else {
    if (before > 0) munmap(begin, before);
    munmap(begin + before + bytes, kHugePage - before);
  }
  errno = error;
  return memory;
}

/// Throws the same error on every rank when one of them has one. `error`: an errno or 0.
void agree_on_success(Communicator& comm, int error, std::size_t bytes) {
  std::vector<std::uint64_t> errors(comm.size());
  errors[comm.rank()] = static_cast<std::uint64_t>(error);
  comm.sum(errors);
  const auto first = std::find_if(errors.begin(), errors.end(), [](std::uint64_t e) { return e != 0; });
  if (first == errors.end()) return;
  const int code = static_cast<int>(*first);
  if (code == ENOSPC || code == ENOMEM || code == EFBIG) {
    struct statvfs space {};
    statvfs("/dev/shm", &space);
    input_error(
        "/dev/shm: {:.1f} MiB of shared memory are needed, more than is left of its {:.1f} MiB; enlarge it "
        "(mount -o "
        "remount,size=..., docker run --shm-size=...) or set exchange.algorithm = \"ring\"",
        static_cast<double>(bytes) / (1 << 20),
        static_cast<double>(space.f_blocks) * static_cast<double>(space.f_frsize) / (1 << 20));
  }
  throw Error(fmt::format(
      "/dev/shm: rank {} cannot share {:.1f} MiB of memory: {}; try exchange.algorithm = \"ring\"",
      first - errors.begin(), static_cast<double>(bytes) / (1 << 20), std::strerror(code)));
}

}  // namespace

Mapping::~Mapping() {
  if (!memory_.empty()) munmap(memory_.data(), memory_.size());
}

std::size_t whole_pages(std::size_t bytes) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return std::max<std::size_t>(1, (bytes + page - 1) / page) * page;
}

Mapping private_memory(std::size_t bytes) {
  bytes = whole_huge_pages(whole_pages(bytes));
  void* memory = map_aligned(-1, bytes);
  if (memory == MAP_FAILED)
    throw Error(fmt::format("{:.1f} MiB of memory are not to be had: {}",
                            static_cast<double>(bytes) / (1 << 20), std::strerror(errno)));
  Mapping mapping({static_cast<std::byte*>(memory), bytes});
  prefer_huge_pages({mapping.data(), bytes});
  return mapping;
}

Mapping shared_memory(Communicator& comm, std::size_t part_bytes) {
  if (comm.size() == 1) return private_memory(part_bytes);
  const std::size_t parts = part_bytes * static_cast<std::size_t>(comm.size()),
                    bytes = whole_huge_pages(parts);
  SegmentName name;
  FileDescriptor file;
  int error = 0;
  if (comm.rank() == 0) {
    file.fd = create_segment(name, bytes);
    error = file.fd < 0 ? errno : 0;
  }
  comm.broadcast(std::as_writable_bytes(std::span(name.text)), 0);
  if (comm.rank() != 0) {
    file.fd = shm_open(name.text.data(), O_RDWR, 0);
    error = file.fd < 0 ? errno : 0;
  }
  // Every rank reserves its own part, the last one also the rest: that is what places the pages.
  const std::size_t begin = part_bytes * static_cast<std::size_t>(comm.rank());
  const std::size_t end = comm.rank() + 1 == comm.size() ? bytes : begin + part_bytes;
  if (error == 0)
    error = posix_fallocate(file.fd, static_cast<off_t>(begin), static_cast<off_t>(end - begin));
  void* memory = MAP_FAILED;
  if (error == 0) {
    memory = map_aligned(file.fd, bytes);
    if (memory == MAP_FAILED) error = errno;
  }
  Mapping mapping(memory == MAP_FAILED ? std::span<std::byte>()
                                       : std::span(static_cast<std::byte*>(memory), bytes));
  agree_on_success(comm, error, bytes);
  name.remove();
  collapse_to_huge_pages({mapping.data(), bytes}, begin, end);
  comm.barrier();           // a page that another rank touches meanwhile might not become part of a huge one
#ifdef MADV_POPULATE_WRITE  // Linux 5.14: a third cheaper than page by page in the first reduction
  madvise(memory, bytes, MADV_POPULATE_WRITE);
#endif
  return mapping;
}

}  // namespace rondo
