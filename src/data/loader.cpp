#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <numeric>
#include <thread>
#include <utility>

#include "rondo/core/clock.hpp"
#include "rondo/core/error.hpp"
#include "rondo/core/shuffle.hpp"
#include "rondo/data/dataset.hpp"

namespace rondo {
namespace {

constexpr std::int64_t kExpected = 8;  // rows ahead that are announced to the dataset

}  // namespace

std::int64_t Sampler::samples(std::int64_t step) const {
  const std::int64_t begin = step % steps_per_epoch() * global_batch;
  return std::min(global_batch, size - begin);
}

void Sampler::order(std::int64_t step, std::int64_t position, std::span<std::int64_t> room) const {
  const std::int64_t at = step % steps_per_epoch() * global_batch + position;
  const auto left = static_cast<std::size_t>(std::max<std::int64_t>(size - at, 0));
  const auto samples = room.first(std::min(room.size(), left));
  std::iota(samples.begin(), samples.end(), at);
  permute(samples, size, seed, static_cast<std::uint32_t>(epoch(step)));
  std::ranges::fill(room.subspan(samples.size()), -1);
}

void fill_batch(const Dataset& dataset, std::span<const std::int64_t> samples, HostBatch& batch) {
  batch.rows = std::ssize(samples);
  const std::pair<std::pmr::vector<float>*, std::int64_t> parts[] = {{&batch.inputs, dataset.inputs()},
                                                                     {&batch.targets, dataset.targets()},
                                                                     {&batch.weights, dataset.targets()}};
  for (const auto& [values, cols] : parts) values->resize(static_cast<std::size_t>(batch.rows * cols));
  for (std::int64_t r = 0; r < batch.rows; ++r) {
    std::span<float> row[3];
    for (int p = 0; p < 3; ++p)
      row[p] = std::span(*parts[p].first)
                   .subspan(static_cast<std::size_t>(r * parts[p].second),
                            static_cast<std::size_t>(parts[p].second));
    if (const std::int64_t soon = r + kExpected;
        soon < batch.rows && samples[static_cast<std::size_t>(soon)] >= 0)
      dataset.expect(samples[static_cast<std::size_t>(soon)]);
    const std::int64_t sample = samples[static_cast<std::size_t>(r)];
    if (sample >= 0)
      dataset.get(sample, row[0], row[1], row[2]);
    else
      for (const std::span<float> values : row) std::ranges::fill(values, 0.0f);
  }
}

struct Loader::Impl {
  static constexpr std::size_t kAhead = 2;

  const Dataset& dataset;
  const Sampler sampler;
  const std::int64_t last, rows;
  std::pmr::memory_resource& memory;
  const double quick_s;

  std::mutex mutex;                    // guards what follows
  std::int64_t next_step, begin, end;  // to fetch
  std::condition_variable changed;
  std::deque<StepData> ready, free;
  std::exception_ptr failure;
  bool stop = false;
  bool by_caller = false;  // the caller fetches, and the thread sleeps
  StepData current;        // the consumer's
  std::thread thread;

  Impl(const Dataset& d, Sampler s, std::int64_t first, std::int64_t last_, std::int64_t begin_,
       std::int64_t end_, std::int64_t rows_, std::pmr::memory_resource& m, double quick)
      : dataset(d),
        sampler(s),
        last(last_),
        rows(rows_),
        memory(m),
        quick_s(quick),
        next_step(first),
        begin(begin_),
        end(end_) {}

  bool due(std::size_t most) const { return next_step < last && !failure && ready.size() < most; }

  // Fetches the next step. Gives the lock away meanwhile.
  void fetch(std::unique_lock<std::mutex>& lock) {
    StepData data;
    if (!free.empty()) data = std::move(free.back()), free.pop_back();
    const std::int64_t step = next_step++, from = begin, to = end;
    lock.unlock();
    const double began = now_s();
    std::exception_ptr problem;
    try {
      fill(data, step, from, to);
    } catch (...) {
      problem = std::current_exception();
    }
    const double seconds = now_s() - began;
    lock.lock();
    if (next_step != step + 1 || from != begin || to != end) {  // assigned anew meanwhile
      free.push_back(std::move(data));
      return;
    }
    failure = problem;
    ready.push_back(std::move(data));
    by_caller = seconds < quick_s;
  }

  void fill(StepData& data, std::int64_t step, std::int64_t from, std::int64_t to) const {
    while (std::ssize(data) > to - from) data.pop_back();
    while (std::ssize(data) < to - from) data.emplace_back(memory);
    std::vector<std::int64_t> samples(static_cast<std::size_t>(rows));
    for (std::int64_t m = from; m < to; ++m) {
      HostBatch& batch = data[static_cast<std::size_t>(m - from)];
      batch.step = step;
      batch.micro_batch = m;
      sampler.order(step, m * rows, samples);
      fill_batch(dataset, samples, batch);
    }
  }

  void loop() {
    for (std::unique_lock lock(mutex);;) {
      changed.wait(lock, [&] { return stop || (!by_caller && due(kAhead)); });
      if (stop) return;
      fetch(lock);
      changed.notify_all();
    }
  }

  // The caller's turn, if it is. It ends with a fetch that is not quick.
  void fetch_by_caller(std::unique_lock<std::mutex>& lock) {
    if (!by_caller || !due(1)) return;
    fetch(lock);
    wake_thread();
  }
  void wake_thread() {
    if (!by_caller) changed.notify_all();
  }
};

Loader::Loader(const Dataset& dataset, Sampler sampler, std::int64_t first, std::int64_t last,
               std::int64_t begin, std::int64_t end, std::int64_t rows, std::pmr::memory_resource& memory,
               double quick_s)
    : impl_(std::make_unique<Impl>(dataset, sampler, first, last, begin, end, rows, memory, quick_s)) {
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
  impl_->fetch_by_caller(lock);
  const bool arrived = impl_->changed.wait_for(lock, std::chrono::duration<double>(timeout_s),
                                               [&] { return !impl_->ready.empty(); });
  RONDO_CHECK(arrived, "no data for {} s: is the file system stuck?", timeout_s);
  if (impl_->failure && impl_->ready.size() == 1) std::rethrow_exception(impl_->failure);
  impl_->current = std::move(impl_->ready.front());
  impl_->ready.pop_front();
  impl_->wake_thread();
  return impl_->current;
}

const StepData* Loader::ahead() {
  std::unique_lock lock(impl_->mutex);
  impl_->fetch_by_caller(lock);
  return impl_->ready.empty() || impl_->failure ? nullptr : &impl_->ready.front();
}

}  // namespace rondo
