#include "rondo/core/log.hpp"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <array>
#include <cstdio>

#include "rondo/core/clock.hpp"
#include "rondo/core/error.hpp"

namespace rondo {
namespace {
std::shared_ptr<spdlog::logger>& file_log() {
  static std::shared_ptr<spdlog::logger> log;
  return log;
}
}  // namespace

void open_log(const std::string& path, int rank) {
  try {
    file_log() = spdlog::basic_logger_mt("rondo", path);
  } catch (const spdlog::spdlog_ex& e) {
    input_error("{}: the log cannot be written ({}); give a writable --run-dir", path, e.what());
  }
  file_log()->set_pattern(fmt::format("%Y-%m-%dT%H:%M:%S.%e rank {} %v", rank));
  file_log()->flush_on(spdlog::level::info);
}

void log_line(const std::string& text) {
  if (file_log() != nullptr) file_log()->info(text);
}

void say(const std::string& text) {
  log_line(text);
  if (error_context().rank != 0) return;
  std::fputs((text + "\n").c_str(), stdout);
  std::fflush(stdout);
}

void warn(const std::string& text) {
  log_line("warning: " + text);
  if (error_context().rank == 0) std::fputs(("rondo: warning: " + text + "\n").c_str(), stderr);
}

bool output_is_terminal() {
  if (isatty(STDOUT_FILENO) == 0) return false;
  if (std::getenv("OMPI_COMM_WORLD_RANK") == nullptr) return true;
  std::array<char, 256> target{};
  const std::string link = fmt::format("/proc/{}/fd/1", getppid());
  if (readlink(link.c_str(), target.data(), target.size() - 1) < 0) return false;
  const std::string_view name(target.data());
  return name.starts_with("/dev/pts/") || name.starts_with("/dev/tty");
}

Progress::Progress(int rank, std::int64_t first, std::int64_t total, std::int64_t every)
    : shown_(rank == 0),
      terminal_(rank == 0 && output_is_terminal()),
      first_(first),
      total_(total),
      every_(every),
      begin_(now_s()) {}

Progress::~Progress() { clear(); }

void Progress::clear() {
  if (terminal_) std::fputs("\r\033[K", stdout), std::fflush(stdout);
}

void Progress::update(std::int64_t done, double loss, double samples_per_s) {
  if (!shown_) return;
  const double now = now_s();
  if (terminal_ && now - last_ < 0.1 && done != total_) return;
  if (!terminal_ && done % every_ != 0 && done != total_) return;
  last_ = now;
  const double left =
      (now - begin_) / static_cast<double>(done - first_) * static_cast<double>(total_ - done);
  const std::string numbers = fmt::format("step {}/{}  loss {:.5g}  {:.0f} samples/s  {:.0f} s left", done,
                                          total_, loss, samples_per_s, left);
  if (!terminal_) {
    std::fputs((numbers + "\n").c_str(), stdout);
  } else {
    constexpr std::int64_t kWidth = 24;
    const auto full = static_cast<std::size_t>(kWidth * done / total_);
    std::fputs(
        fmt::format("\r\033[K[{}{}] {}", std::string(full, '#'), std::string(kWidth - full, '.'), numbers)
            .c_str(),
        stdout);
  }
  std::fflush(stdout);
}

}  // namespace rondo
