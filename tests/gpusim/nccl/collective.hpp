// One collective operation as a state machine that never blocks: the scheduler calls it until it is done.
#pragma once

#include <memory>
#include <string>

#include "nccl/segment.hpp"

namespace gpusim {

enum Kind { all_reduce, broadcast, reduce, all_gather, reduce_scatter };

struct Communicator {
  Segment* segment = nullptr;
  int rank = 0, ranks = 1;
  uint64_t chunks = 0;              // posted so far
  uint64_t collectives = 0;         // enqueued so far
  std::atomic<bool> failed{false};  // as asked for; every later look at its state says so
  const void* active = nullptr;     // operations of a communicator run one at a time
  std::atomic<bool> aborted{false};
  std::string last_error;
  ~Communicator() {
    if (segment) segment->leave();
  }
};

class Collective {
 public:
  Collective(std::shared_ptr<Communicator> comm, Shape shape, const void* send, void* receive)
      : comm_(std::move(comm)),
        shape_(shape),
        send_(send),
        receive_(receive),
        number_(comm_->collectives++) {}
  bool advance();  // true: done

 private:
  bool can_post() const;
  void post();
  bool all_posted();
  void take();
  uint64_t total() const;  // elements that every rank posts

  std::shared_ptr<Communicator> comm_;
  Shape shape_;
  const void* send_;
  void* receive_;
  uint64_t number_;
  uint64_t at_ = 0, chunk_ = 0;  // elements done, and in the chunk that is posted
};

size_t type_bytes(int type);  // 0: not supported

}  // namespace gpusim
