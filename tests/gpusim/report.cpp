#include "report.hpp"

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <set>

namespace gpusim {
namespace {

constexpr unsigned most_lines = 100;  // a broken kernel would fill the disk
std::atomic<unsigned> count{0};

struct ExitCheck {
  // A program that never looks at its CUDA errors fails all the same.
  ~ExitCheck() {
    const char* keep = std::getenv("GPUSIM_EXIT");
    if (count == 0 || (keep && std::string(keep) == "0")) return;
    std::fprintf(stderr, "gpusim: %u error(s); exit code 86\n", count.load());
    std::fflush(nullptr);
    _exit(86);
  }
} exit_check;

}  // namespace

void report(const std::string& kind, const std::string& text) {
  static std::mutex mutex;
  static std::set<std::string> seen;
  std::lock_guard lock(mutex);
  if (!seen.insert(kind + text).second || ++count > most_lines) return;
  std::string line = "gpusim: error: " + kind + ": " + text + "\n";
  std::fputs(line.c_str(), stderr);
  if (const char* path = std::getenv("GPUSIM_REPORT")) {
    if (FILE* file = std::fopen(path, "a")) {
      std::fputs(line.c_str(), file);
      std::fclose(file);
    }
  }
}

unsigned reports() { return count; }

}  // namespace gpusim
