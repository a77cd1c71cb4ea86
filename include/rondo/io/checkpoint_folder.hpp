/// A run's folder of checkpoints, and the thread that fills it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "rondo/core/state.hpp"

namespace rondo {

/// The files "step-00001234.h5" of one run, and "best.h5". The newest is the one with the highest step:
/// there is no pointer to it that could be torn. Only the run's owner may call what changes the folder.
class CheckpointFolder {
 public:
  struct Found {
    std::string path;
    Snapshot snapshot;
  };

  explicit CheckpointFolder(std::string path) : path_(std::move(path)) {}

  /// Creates the folder and removes temporary files that earlier writers left behind. Call it once,
  /// before writing, as the owner.
  void open_for_writing() const;
  const std::string& path() const { return path_; }
  std::string path_of(std::int64_t step) const;
  std::string best_path() const;

  /// Steps that have a file, ascending; empty if there is no folder.
  std::vector<std::int64_t> list() const;
  /// The newest checkpoint that reads and verifies, trying "best.h5" when no step does. Calls `log` with
  /// one line for each bad one.
  std::optional<Found> newest_good(const std::function<void(const std::string&)>& log) const;

  /// Writes a checkpoint image durably under its step's name; makes the folder again if it is gone, but not
  /// the one around it, which somebody else may own by now. `tag`: see write_file_durably().
  void write(std::int64_t step, std::span<const std::byte> image, const std::string& tag) const;
  /// Makes "best.h5" the checkpoint of a step that was just written: a hard link where the file system
  /// has them, else a copy. It survives the pruning of that step.
  void set_best(std::int64_t step, std::span<const std::byte> image, const std::string& tag) const;
  /// Deletes all but the `keep_last` highest steps. Never deletes `good_step`, which the caller has just
  /// written or read: the others may be damaged.
  void prune(int keep_last, std::int64_t good_step) const;

 private:
  std::string path_;
};

/// One thread that turns snapshots into durable files while training goes on. At most one waits or is
/// being written at a time. A failed write is text for the log, never the end of training: the
/// checkpoints before it are untouched.
class BackgroundWriter {
 public:
  /// `tag` goes into temporary names, e.g. the membership epoch. `timeout_s` bounds the wait for a disk.
  BackgroundWriter(CheckpointFolder folder, int keep_last, std::string tag, double timeout_s = 600);
  ~BackgroundWriter();  ///< finishes the write in progress
  BackgroundWriter(const BackgroundWriter&) = delete;
  BackgroundWriter& operator=(const BackgroundWriter&) = delete;

  /// Waits for the write before this one, if any, and hands the snapshot over. Returns the seconds waited.
  /// Throws Error if the write before this one takes longer than `timeout_s`.
  double submit(std::int64_t step, Snapshot snapshot, bool is_best);
  /// Waits until all is written (or has failed). Returns the seconds waited; throws like submit().
  double wait();
  bool busy();  ///< whether something waits to be written, or is
  /// What went wrong since the last call, one line, or "" if nothing did.
  std::string take_error();

 private:
  struct Job {
    std::int64_t step = 0;
    Snapshot snapshot;
    bool is_best = false;
  };
  void loop();
  void write(Job& job) const;
  double wait_idle(std::unique_lock<std::mutex>& lock);

  const CheckpointFolder folder_;
  const int keep_last_;
  const std::string tag_;
  const std::chrono::duration<double> timeout_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::optional<Job> job_;  // the one waiting or being written
  std::string error_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace rondo
