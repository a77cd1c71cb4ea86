#include <utility>

#include "rondo/core/clock.hpp"
#include "rondo/core/error.hpp"
#include "rondo/io/checkpoint.hpp"
#include "rondo/io/checkpoint_folder.hpp"

namespace rondo {

BackgroundWriter::BackgroundWriter(CheckpointFolder folder, int keep_last, std::string tag, double timeout_s)
    : folder_(std::move(folder)), keep_last_(keep_last), tag_(std::move(tag)), timeout_(timeout_s) {
  RONDO_CHECK(keep_last >= 1, "at least one checkpoint must be kept, not {}", keep_last);
  thread_ = std::thread([this] { loop(); });
}

BackgroundWriter::~BackgroundWriter() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

double BackgroundWriter::wait_idle(std::unique_lock<std::mutex>& lock) {
  const double start = now_s();
  if (!changed_.wait_for(lock, timeout_, [&] { return !job_; }))
    throw Error(fmt::format("{}: has not been written after {} s; is the disk or its network gone?",
                            folder_.path_of(job_->step), timeout_.count()));
  return now_s() - start;
}

double BackgroundWriter::submit(std::int64_t step, Snapshot snapshot, bool is_best) {
  std::unique_lock lock(mutex_);
  const double waited = wait_idle(lock);
  job_ = Job{step, std::move(snapshot), is_best};
  changed_.notify_all();
  return waited;
}

double BackgroundWriter::wait() {
  std::unique_lock lock(mutex_);
  return wait_idle(lock);
}

bool BackgroundWriter::busy() {
  const std::lock_guard lock(mutex_);
  return job_.has_value();
}

std::string BackgroundWriter::take_error() {
  const std::lock_guard lock(mutex_);
  return std::exchange(error_, "");
}

void BackgroundWriter::write(Job& job) const {
  const std::vector<std::byte> image = checkpoint_image(std::move(job.snapshot));
  folder_.write(job.step, image, tag_);
  if (job.is_best) folder_.set_best(job.step, image, tag_);
  folder_.prune(keep_last_, job.step);
}

void BackgroundWriter::loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return job_ || stop_; });
    if (!job_) return;
    lock.unlock();
    std::string failure;
    try {
      write(*job_);  // nobody else touches a job until it is taken away below
    } catch (const std::exception& e) {
      failure = e.what();
    }
    lock.lock();
    job_.reset();
    if (!failure.empty()) error_ = std::move(failure);
    changed_.notify_all();
  }
}

}  // namespace rondo
