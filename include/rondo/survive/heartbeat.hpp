/// Heartbeats: each rank's file RUN/heartbeats/rank-0001, one record that its watchdog writes again and
/// again.
///
/// Files and not shared memory, so that whoever started the job sees ranks of all hosts that share the run
/// directory. A record is written by one pwrite and is small enough to come whole.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "rondo/core/phase.hpp"

namespace rondo {

/// How a rank's part in a job ended, as far as it could still say so.
enum class Ending : std::int32_t {
  none,      ///< running; or ended without a word: killed, or left by _exit
  finished,  ///< trained to the last step
  stopped,   ///< stopped as asked, can be resumed
  failed,    ///< an error with a message; `code` is the exit code
  hung,      ///< ended by its watchdog
  crashed,   ///< `code` is the signal
  outlived   ///< lost, and the others have gone on without it: they write this in its place
};

/// Plain old data: it is also written from a signal handler.
struct Beat {
  char magic[8] = {'r', 'o', 'n', 'd', 'o', 'b', '3', 0};
  std::uint64_t job = 0;  ///< which start of the run wrote it; 0: not started by `rondo launch`
  std::int32_t rank = 0, ranks = 1, pid = 0;
  Ending ending = Ending::none;
  std::int32_t code = 0;
  std::uint32_t count = 0;      ///< of records written: it stands still when the whole process does
  std::int32_t waits = 0;       ///< 1: for other ranks
  std::int32_t survives = 0;    ///< 1: when this rank is lost the others go on in the job
  std::uint64_t word = 0;       ///< see Position
  std::int64_t first_step = 0;  ///< where this process began
  double here_s = 0;            ///< seconds for which `word` has been the same
  double limit_s = 0;           ///< after so many the watchdog acts; 0: it never does
  double floor_s = 0;           ///< the least of all limits; so long may records themselves stay away
  char host[64] = {};
  char scope[96] = {};  ///< pid_scope()

  Position position() const { return Position::of(word); }
  /// Comparable: whoever has the smaller one is behind, or is waited for.
  std::int64_t standing() const { return 2 * position().progress() + waits; }
  std::string who() const;    ///< "rank 1 (node7, pid 123)"
  std::string where() const;  ///< "step 37, backward, bucket 2"
};

/// This rank's own file.
class HeartbeatFile {
 public:
  /// Makes the folder and the file. InputError when it cannot.
  HeartbeatFile(const std::string& run_directory, int rank);
  ~HeartbeatFile();
  HeartbeatFile(const HeartbeatFile&) = delete;
  HeartbeatFile& operator=(const HeartbeatFile&) = delete;
  /// Safe in signal handlers. Failures are not reported: a rank without a disk has other ways to say so.
  void write(const Beat& beat) const;

 private:
  int fd_;
};

/// The last record of a rank, if there is one.
std::optional<Beat> read_beat(const std::string& run_directory, int rank);
/// Says so in the record of a rank of this job without which the others go on; any of them may, or several at
/// once.
void note_outlived(const std::string& run_directory, std::uint64_t job, int rank);
/// Removes the records of an earlier job. Only for who knows that it has ended.
void clear_beats(const std::string& run_directory);

/// What `rondo launch` tells its ranks in the environment: which start this is.
struct JobName {
  std::uint64_t job = 0;
  int attempt = 0;  ///< counted from 0
  static constexpr const char* kVariable = "RONDO_JOB";
  static JobName of_environment();
  std::string text() const;
};

}  // namespace rondo
