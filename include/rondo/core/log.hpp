/// Logs: a file per rank, and the lines that a user sees, from rank 0.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace rondo {

/// Opens (appends to) this rank's log file. Before that, log lines go nowhere.
void open_log(const std::string& path, int rank);
/// To this rank's log file.
void log_line(const std::string& text);
/// To the log file and, on rank 0, to standard output.
void say(const std::string& text);
/// Like say(), marked as a warning, to standard error.
void warn(const std::string& text);

/// Progress of a long piece of work: a bar with loss, speed and time left where rank 0 writes to a
/// terminal, plain lines from time to time where it does not.
class Progress {
 public:
  /// `every`: steps between plain lines. Ranks other than 0 show nothing.
  Progress(int rank, std::int64_t first, std::int64_t total, std::int64_t every);
  ~Progress();
  void update(std::int64_t done, double loss, double samples_per_s);
  void clear();  ///< takes the bar away so that a line can be written

 private:
  bool shown_ = false, terminal_ = false;
  std::int64_t first_, total_, every_;
  double begin_, last_ = 0;
};

/// Does what rank 0 prints reach a terminal? mpirun gives its ranks pseudo-terminals whatever its own output
/// is, so the parent's output decides.
bool output_is_terminal();

}  // namespace rondo
