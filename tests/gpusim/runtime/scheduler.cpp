#include "runtime/scheduler.hpp"

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "report.hpp"
#include "runtime/config.hpp"
#include "runtime/use.hpp"

namespace gpusim {
namespace {

// The real one records events and waits, too, as edges; the simulator's graphs are plain sequences.
[[noreturn]] void not_while_recording(const std::string& what) {
  throw UseError(cudaErrorStreamCaptureUnsupported, "stream is being captured: " + what);
}

}  // namespace

Scheduler& scheduler() {
  static auto* s = new Scheduler;  // streams outlive static destructors
  return *s;
}

Scheduler::Scheduler() : random_(config().seed) {
  host_.name = "the host";
  host_.clock.assign(1, 0);
  for (int d = 0; d < config().devices; ++d) legacy_.push_back(create(d, true, 0));
}

Stream* Scheduler::create(int device, bool blocking, int priority) {
  auto s = std::make_unique<Stream>();
  s->index = next_index_++;
  s->device = device;
  s->blocking = blocking;
  s->priority = priority;
  streams_.push_back(std::move(s));
  return streams_.back().get();
}

void Scheduler::destroy(Stream* stream) {
  // CUDA lets the queued work finish; nobody can wait for it by this handle any more.
  while (!stream->queue.empty() && step(stream->device)) {
  }
  std::erase_if(streams_, [&](const auto& s) { return s.get() == stream; });
}

Stream* Scheduler::stream(cudaStream_t handle, int device) {
  if (handle == nullptr || handle == cudaStreamLegacy || handle == cudaStreamPerThread)
    return legacy_[static_cast<size_t>(device)];
  for (auto& s : streams_)
    if (reinterpret_cast<cudaStream_t>(s.get()) == handle) return s.get();
  return nullptr;
}

OperationPtr Scheduler::enqueue(Stream& stream, const std::string& name,
                                std::function<Progress(Operation&)> body, std::vector<OperationPtr> after) {
  if (stream.recording) {
    if (!body) not_while_recording(name);
    stream.recording->nodes.push_back({name, std::move(body)});
    return nullptr;
  }
  auto op = std::make_shared<Operation>();
  op->device = stream.device;
  op->body = std::move(body);
  op->after = std::move(after);
  if (stream.last) op->after.push_back(stream.last);
  // The legacy default stream waits for all blocking streams, and they for it.
  Stream* legacy = legacy_[static_cast<size_t>(stream.device)];
  if (&stream == legacy) {
    for (auto& s : streams_)
      if (s->device == stream.device && s->blocking && s->last && s.get() != legacy)
        op->after.push_back(s->last);
  } else if (stream.blocking && legacy->last) {
    op->after.push_back(legacy->last);
  }
  op->event = std::make_shared<Event>();
  Event& e = *op->event;
  e.stream = stream.index;
  e.sequence = (stream.last ? stream.last->event->sequence : 0) + 1;
  e.name =
      name + " (stream " + std::to_string(stream.index) + ", operation " + std::to_string(e.sequence) + ")";
  e.clock = host_.clock;
  for (const OperationPtr& a : op->after) join(e.clock, a->event->clock);
  if (e.clock.size() <= stream.index) e.clock.resize(stream.index + 1);
  e.clock[stream.index] = e.sequence;
  // What the host does from here on is not before this operation.
  ++host_.clock[0];
  stream.last = op;
  stream.queue.push_back(op);
  if (config().eager) {
    while (step(-1)) {
    }
  }
  return op;
}

bool Scheduler::ready(const Operation& op) {
  return std::all_of(op.after.begin(), op.after.end(), [](const OperationPtr& a) { return a->done; });
}

bool Scheduler::step(int device) {
  std::vector<Stream*> candidates;
  for (auto& s : streams_)
    if ((device < 0 || s->device == device) && !s->queue.empty() && ready(*s->queue.front()))
      candidates.push_back(s.get());
  std::shuffle(candidates.begin(), candidates.end(), random_);
  for (Stream* s : candidates) {
    OperationPtr op = s->queue.front();
    if (op->body && op->body(*op) == Progress::not_yet) continue;  // it waits for another process
    op->done = true;
    op->body = nullptr;
    op->after.clear();
    op->finished_ms =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch())
            .count();
    // The body may have changed the queues; this operation is still its stream's head.
    for (auto& other : streams_)
      if (!other->queue.empty() && other->queue.front() == op) other->queue.pop_front();
    return true;
  }
  return false;
}

void Scheduler::wait(const OperationPtr& operation) {
  while (!operation->done) {
    if (step(-1)) continue;
    mutex.unlock();  // other threads of the host, or other processes, may be what it waits for
    sched_yield();
    mutex.lock();
  }
  join(host_.clock, operation->event->clock);
}

void Scheduler::wait(Stream& stream) {
  if (stream.recording) not_while_recording("waiting for the stream");
  if (stream.last) wait(stream.last);
  // Synchronising with the legacy stream waits for the blocking ones too.
  if (&stream != legacy_[static_cast<size_t>(stream.device)]) return;
  for (size_t k = 0; k < streams_.size(); ++k)
    if (streams_[k]->device == stream.device && streams_[k]->blocking && streams_[k]->last)
      wait(streams_[k]->last);
}

void Scheduler::wait_device(int device) {
  for (size_t k = 0; k < streams_.size(); ++k)
    if (streams_[k]->device == device && streams_[k]->last) wait(streams_[k]->last);
}

bool Scheduler::query(const OperationPtr& operation) {
  drift();
  if (!operation->done) return false;
  join(host_.clock, operation->event->clock);
  return true;
}

void Scheduler::drift() {
  for (uint64_t steps = random_() % 3; steps > 0 && step(-1); --steps) {
  }
}

void Scheduler::run_in_background() {
  if (in_background_) return;
  in_background_ = true;
  std::thread([this] {
    for (;;) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      std::lock_guard lock(mutex);
      if (stopped_) return;
      step(-1);
    }
  }).detach();
}

void Scheduler::stop_background() {
  std::lock_guard lock(mutex);
  stopped_ = true;
}

EventPtr Scheduler::host_event(const std::string& name) {
  auto e = std::make_shared<Event>();
  e->name = name;
  e->stream = 0;
  e->sequence = host_.clock[0];
  e->clock = host_.clock;
  return e;
}

}  // namespace gpusim
