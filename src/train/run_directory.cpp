#include "rondo/train/run_directory.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "rondo/core/clock.hpp"
#include "rondo/core/error.hpp"
#include "rondo/core/log.hpp"
#include "rondo/io/checkpoint_folder.hpp"
#include "rondo/io/durable.hpp"

namespace rondo {
namespace fs = std::filesystem;

namespace {
constexpr double kRelease = 10;  // seconds until the lock of a dead process is free, on network disks too
}  // namespace

RunDirectory::~RunDirectory() {
  if (lock_ >= 0) close(lock_);
}

std::string RunDirectory::log(int rank) const { return fmt::format("{}/logs/rank-{:04}.log", path_, rank); }

void RunDirectory::claim(bool resume) {
  std::error_code problem;
  fs::create_directories(path_ + "/logs", problem);
  if (problem)
    input_error("{}: the run directory cannot be made ({}); give a writable --run-dir", path_,
                problem.message());
  if (!lock()) input_error("{}: another run is writing here; wait for it, or give another --run-dir", path_);
  const CheckpointFolder folder(checkpoints());
  if (!resume && !folder.list().empty())
    input_error("{}: already holds a run (step {}); add --resume to go on with it, or give another --run-dir",
                path_, folder.list().back());
  if (resume && folder.list().empty() && !fs::exists(folder.best_path()))
    warn(fmt::format("{}: nothing to resume, no checkpoint yet; starting from the beginning", path_));
  folder.open_for_writing();
  remove_temporaries(path_);
}

bool RunDirectory::lock() {
  const std::string path = path_ + "/lock";
  if (lock_ < 0) lock_ = open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644);
  if (lock_ < 0)
    input_error("{}: cannot be opened ({}); give a writable --run-dir", path, std::strerror(errno));
  return flock(lock_, LOCK_EX | LOCK_NB) == 0;
}

void RunDirectory::take_over() {
  for (const Deadline deadline(kRelease); !lock();) {
    if (deadline.passed())
      throw Error(
          fmt::format("{}: is still locked {} s after the death of rank 0: another run is writing here",
                      path_, kRelease));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  CheckpointFolder(checkpoints()).open_for_writing();
  remove_temporaries(path_);
}

void RunDirectory::write_config(const std::string& toml) const {
  write_file_durably(path_ + "/config.toml", std::as_bytes(std::span(toml)), "config");
}

std::string RunDirectory::read_config() const {
  std::ifstream file(path_ + "/config.toml");
  return {std::istreambuf_iterator<char>(file), {}};
}

void RunDirectory::rewind_metrics(std::int64_t step, std::int64_t last) const {
  rewind("metrics.jsonl", step, last);
  if (fs::exists(path_ + "/balance.jsonl")) rewind("balance.jsonl", step, last);
}

void RunDirectory::rewind(const char* file, std::int64_t step, std::int64_t last) const {
  std::ifstream in(path_ + "/" + file);
  std::string kept;
  for (std::string line; std::getline(in, line);) {
    const auto parsed = nlohmann::json::parse(line, nullptr, false);  // a line torn by a crash is dropped
    if (parsed.is_discarded()) continue;
    const std::int64_t its = parsed.value("step", step + 1);
    const bool again = its == last && parsed.contains("split");  // a finished run is evaluated once more
    if (its <= step && !again) kept += line + "\n";
  }
  write_file_durably(path_ + "/" + file, std::as_bytes(std::span(kept)), "metrics");
}

void RunDirectory::append(const char* file, const nlohmann::ordered_json& line) const {
  std::ofstream out(path_ + "/" + file, std::ios::app);
  out << line.dump() << "\n";
}

std::string find_checkpoint(const std::string& run_or_checkpoint) {
  if (!fs::exists(run_or_checkpoint))
    input_error("{}: no such file or directory; expected a run directory or a checkpoint (.h5)",
                run_or_checkpoint);
  if (!fs::is_directory(run_or_checkpoint)) return run_or_checkpoint;
  const CheckpointFolder folder(run_or_checkpoint + "/checkpoints");
  const auto found = folder.newest_good([](const std::string& line) { warn(line); });
  if (!found) input_error("{}: no good checkpoint in {}; train first", run_or_checkpoint, folder.path());
  return found->path;
}

}  // namespace rondo
