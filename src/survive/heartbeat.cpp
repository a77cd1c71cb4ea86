#include "rondo/survive/heartbeat.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "rondo/core/error.hpp"
#include "rondo/io/printable.hpp"

namespace rondo {
namespace {

namespace fs = std::filesystem;

std::string folder_of(const std::string& run_directory) { return run_directory + "/heartbeats"; }
std::string file_of(const std::string& run_directory, int rank) {
  return fmt::format("{}/rank-{:04}", folder_of(run_directory), rank);
}

}  // namespace

std::string Beat::who() const {
  return fmt::format("rank {} ({}, pid {})", rank, printable({host, strnlen(host, sizeof host)}), pid);
}

std::string Beat::where() const {
  const Position at = position();
  const std::string bucket = at.bucket > 0 ? fmt::format(", bucket {}", at.bucket) : "";
  return fmt::format("step {}, {}{}", at.step, name_of(at.phase), bucket);
}

HeartbeatFile::HeartbeatFile(const std::string& run_directory, int rank) {
  std::error_code error;
  fs::create_directories(folder_of(run_directory), error);
  const std::string path = file_of(run_directory, rank);
  fd_ = open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
  if (fd_ < 0)
    input_error("{}: cannot be written ({}); all ranks need a --run-dir that they can write to", path,
                std::strerror(errno));
}

HeartbeatFile::~HeartbeatFile() { close(fd_); }

void HeartbeatFile::write(const Beat& beat) const {
  [[maybe_unused]] const ssize_t ignored = pwrite(fd_, &beat, sizeof beat, 0);
}

std::optional<Beat> read_beat(const std::string& run_directory, int rank) {
  std::ifstream in(file_of(run_directory, rank), std::ios::binary);
  Beat beat;
  const Beat expected;
  if (!in.read(reinterpret_cast<char*>(&beat), sizeof beat)) return std::nullopt;
  if (std::memcmp(beat.magic, expected.magic, sizeof beat.magic) != 0 || beat.rank != rank)
    return std::nullopt;
  return beat;
}

void note_outlived(const std::string& run_directory, std::uint64_t job, int rank) {
  auto beat = read_beat(run_directory, rank);
  if (!beat || beat->job != job) return;
  const int fd = open(file_of(run_directory, rank).c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  beat->ending = Ending::outlived;
  [[maybe_unused]] const ssize_t ignored = pwrite(fd, &*beat, sizeof *beat, 0);
  close(fd);
}

void clear_beats(const std::string& run_directory) {
  std::error_code ignored;
  fs::remove_all(folder_of(run_directory), ignored);
}

JobName JobName::of_environment() {
  JobName name;
  if (const char* text = std::getenv(kVariable))
    std::sscanf(text, "%" SCNu64 "/%d", &name.job, &name.attempt);
  return name;
}

std::string JobName::text() const { return fmt::format("{}/{}", job, attempt); }

}  // namespace rondo
