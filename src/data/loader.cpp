#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "rondo/core/error.hpp"
#include "rondo/core/philox.hpp"
#include "rondo/data/dataset.hpp"

namespace rondo {

std::int64_t Sampler::samples(std::int64_t step) const {
  const std::int64_t begin = step % steps_per_epoch() * global_batch;
  return std::min(global_batch, size - begin);
}

std::int64_t Sampler::sample(std::int64_t step, std::int64_t position) const {
  const std::int64_t at = step % steps_per_epoch() * global_batch + position;
  if (at >= size) return -1;
  return static_cast<std::int64_t>(permuted(static_cast<std::uint64_t>(at), static_cast<std::uint64_t>(size),
                                            seed, static_cast<std::uint32_t>(epoch(step))));
}

struct Loader::Impl {
  static constexpr std::size_t kAhead = 2;

  const Dataset& dataset;
  const Sampler sampler;
  const std::int64_t last, rows;
  std::pmr::memory_resource& memory;

  std::mutex mutex;                    // guards what follows
  std::int64_t next_step, begin, end;  // to fetch
  std::condition_variable changed;
  std::deque<StepData> ready, free;
  std::exception_ptr failure;
  bool stop = false;
  StepData current;  // the consumer's
  std::thread thread;

  Impl(const Dataset& d, Sampler s, std::int64_t first, std::int64_t last_, std::int64_t begin_,
       std::int64_t end_, std::int64_t rows_, std::pmr::memory_resource& m)
      : dataset(d),
        sampler(s),
        last(last_),
        rows(rows_),
        memory(m),
        next_step(first),
        begin(begin_),
        end(end_) {}

  void fetch(StepData& data, std::int64_t step, std::int64_t from, std::int64_t to) const {
    while (std::ssize(data) > to - from) data.pop_back();
    while (std::ssize(data) < to - from) data.emplace_back(memory);
    for (std::int64_t m = from; m < to; ++m) {
      HostBatch& batch = data[static_cast<std::size_t>(m - from)];
      batch.step = step;
      batch.micro_batch = m;
      fill_batch(
          dataset, rows, [&](std::int64_t r) { return sampler.sample(step, m * rows + r); }, batch);
    }
  }

  void loop() {
    for (;;) {
      StepData data;
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return stop || (next_step < last && !failure && ready.size() < kAhead); });
      if (stop) return;
      if (!free.empty()) data = std::move(free.back()), free.pop_back();
      const std::int64_t step = next_step++, from = begin, to = end;
      lock.unlock();
      std::exception_ptr problem;
      try {
        fetch(data, step, from, to);
      } catch (...) {
        problem = std::current_exception();
      }
      lock.lock();
      if (next_step != step + 1 || from != begin || to != end) {  // assigned anew meanwhile
        free.push_back(std::move(data));
        continue;
      }
      failure = problem;
      ready.push_back(std::move(data));
      changed.notify_all();
    }
  }
};

Loader::Loader(const Dataset& dataset, Sampler sampler, std::int64_t first, std::int64_t last,
               std::int64_t begin, std::int64_t end, std::int64_t rows, std::pmr::memory_resource& memory)
    : impl_(std::make_unique<Impl>(dataset, sampler, first, last, begin, end, rows, memory)) {
  impl_->thread = std::thread([this] { impl_->loop(); });
}

Loader::~Loader() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stop = true;
    impl_->changed.notify_all();
  }
  impl_->thread.join();
}

void Loader::assign(std::int64_t step, std::int64_t begin, std::int64_t end) {
  const std::lock_guard lock(impl_->mutex);
  for (StepData& data : impl_->ready) impl_->free.push_back(std::move(data));
  impl_->ready.clear();
  impl_->failure = nullptr;
  impl_->next_step = step;
  impl_->begin = begin;
  impl_->end = end;
  impl_->changed.notify_all();
}

const StepData& Loader::next(double timeout_s) {
  std::unique_lock lock(impl_->mutex);
  impl_->free.push_back(std::move(impl_->current));
  const bool arrived = impl_->changed.wait_for(lock, std::chrono::duration<double>(timeout_s),
                                               [&] { return !impl_->ready.empty(); });
  RONDO_CHECK(arrived, "no data for {} s: is the file system stuck?", timeout_s);
  if (impl_->failure && impl_->ready.size() == 1) std::rethrow_exception(impl_->failure);
  impl_->current = std::move(impl_->ready.front());
  impl_->ready.pop_front();
  impl_->changed.notify_all();
  return impl_->current;
}

const StepData* Loader::ahead() {
  const std::lock_guard lock(impl_->mutex);
  return impl_->ready.empty() || impl_->failure ? nullptr : &impl_->ready.front();
}

}  // namespace rondo
