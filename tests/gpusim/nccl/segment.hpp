// What the ranks of a communicator share: a piece of POSIX shared memory, named by the unique id. Every rank
// posts its data chunk by chunk into its own slots, of which it has two, and reads those of the others.
#pragma once

#include <nccl.h>

#include <atomic>
#include <cstdint>
#include <string>

namespace gpusim {

constexpr int most_ranks = 64;
constexpr size_t chunk_bytes = 64 << 10;

// What an operation is, so that ranks which disagree are found.
struct Shape {
  int kind, type, op, root;
  uint64_t count;
  bool operator==(const Shape& o) const {
    return kind == o.kind && type == o.type && op == o.op && root == o.root && count == o.count;
  }
};

struct Segment {
  std::atomic<int> joined;
  struct Rank {
    std::atomic<uint64_t> posted, consumed;  // numbers of chunks
    std::atomic<int> device;                 // + 1
    Shape shape[2];
  } ranks[most_ranks];
  alignas(4096) unsigned char data[most_ranks][2][chunk_bytes];

  static ncclUniqueId create();
  static Segment* join(const ncclUniqueId& id);  // null: no such segment
  void leave();
  static void remove(const ncclUniqueId& id);
};

}  // namespace gpusim
