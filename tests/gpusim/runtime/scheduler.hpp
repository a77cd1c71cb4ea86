// Streams as queues of operations. Nothing runs when it is enqueued: at synchronisations, and by chance at
// any other call, the scheduler runs the head of a random stream whose dependencies are done.
#pragma once

#include <cuda_runtime_api.h>

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "memory/history.hpp"

namespace gpusim {

enum class Progress { done, not_yet };

struct Operation {
  std::shared_ptr<Event> event;
  int device = 0;
  bool done = false;
  std::vector<std::shared_ptr<Operation>> after;
  std::function<Progress(Operation&)> body;  // may be null
  double finished_ms = 0;
};
using OperationPtr = std::shared_ptr<Operation>;

// What a stream recorded instead of running it.
struct Graph {
  struct Node {
    std::string name;
    std::function<Progress(Operation&)> body;
  };
  std::vector<Node> nodes;
};

struct Stream {
  uint32_t index = 0;  // in every clock; 0 is the host
  int device = 0;
  int priority = 0;
  bool blocking = true;  // takes part in the legacy default stream's order
  std::deque<OperationPtr> queue;
  OperationPtr last;
  std::unique_ptr<Graph> recording;  // null: operations are queued
};

struct CudaEvent {
  OperationPtr recorded;  // null: never recorded, which counts as done
  bool timing = true;
};

class Scheduler {
 public:
  Scheduler();

  Stream* create(int device, bool blocking, int priority);
  void destroy(Stream* stream);
  // The stream behind a handle; null is the current device's legacy default stream. Null for nonsense.
  Stream* stream(cudaStream_t handle, int device);

  // Null where the stream records.
  OperationPtr enqueue(Stream& stream, const std::string& name, std::function<Progress(Operation&)> body,
                       std::vector<OperationPtr> after = {});

  void wait(const OperationPtr& operation);  // and the host knows that it is done
  void wait(Stream& stream);
  void wait_device(int device);
  bool query(const OperationPtr& operation);
  void drift();  // some queued work runs, by chance
  // From here on a thread runs queued work now and then: the host may wait for a host function's effect
  // without calling CUDA.
  void run_in_background();
  void stop_background();

  // A clock for something that the host does now.
  EventPtr host_event(const std::string& name);
  // Is the operation known to the host to be done?
  bool known_to_host(const Event& event) const { return event.before(host_); }

  std::recursive_mutex mutex;

 private:
  bool step(int device);  // runs one operation (of that device, or of any for -1); false: none can
  static bool ready(const Operation& op);

  std::vector<std::unique_ptr<Stream>> streams_;
  std::vector<Stream*> legacy_;  // by device
  uint32_t next_index_ = 1;
  Event host_;
  bool in_background_ = false, stopped_ = false;
  std::mt19937_64 random_;
};

Scheduler& scheduler();

}  // namespace gpusim
