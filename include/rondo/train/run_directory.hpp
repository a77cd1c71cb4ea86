/// The folder of a run: config.toml, metrics.jsonl, balance.jsonl, logs/, checkpoints/, and the lock of its
/// owner.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "rondo/core/state.hpp"

namespace rondo {

class RunDirectory {
 public:
  explicit RunDirectory(std::string path) : path_(std::move(path)) {}
  ~RunDirectory();
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string checkpoints() const { return path_ + "/checkpoints"; }
  std::string log(int rank) const;

  /// Rank 0: makes the folders and locks them against a second run. Without `resume` the folder must not hold
  /// checkpoints. The lock is released by the kernel when the process ends, however it ends.
  void claim(bool resume);
  /// Whoever is rank 0 after the death of the one before: takes over the folder and its lock, which the
  /// kernel may need a moment to release.
  void take_over();
  void write_config(const std::string& toml) const;
  std::string read_config() const;  ///< "" before the first write_config()
  /// Drops what a run resumed at `step` will write again to metrics.jsonl and balance.jsonl: lines of later
  /// steps and, when it had reached its `last` step, the evaluations there.
  void rewind_metrics(std::int64_t step, std::int64_t last) const;
  void append_metrics(const nlohmann::ordered_json& line) const { append("metrics.jsonl", line); }
  /// Who was slow when: a line for every time that micro-batches moved.
  void append_balance(const nlohmann::ordered_json& line) const { append("balance.jsonl", line); }

 private:
  void rewind(const char* file, std::int64_t step, std::int64_t last) const;
  void append(const char* file, const nlohmann::ordered_json& line) const;
  bool lock();

  std::string path_;
  int lock_ = -1;
};

/// The newest good checkpoint of a run directory, or the file itself. InputError where there is none.
std::string find_checkpoint(const std::string& run_or_checkpoint);

}  // namespace rondo
