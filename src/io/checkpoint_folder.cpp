#include "rondo/io/checkpoint_folder.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>

#include "rondo/core/error.hpp"
#include "rondo/io/checkpoint.hpp"
#include "rondo/io/durable.hpp"

namespace rondo {
namespace {

namespace fs = std::filesystem;

std::optional<std::int64_t> step_of(const std::string& name) {
  constexpr std::string_view prefix = "step-", suffix = ".h5";
  if (!name.starts_with(prefix) || !name.ends_with(suffix)) return std::nullopt;
  const std::string digits = name.substr(prefix.size(), name.size() - prefix.size() - suffix.size());
  std::int64_t step = -1;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), step);
  if (error != std::errc{} || end != digits.data() + digits.size() || step < 0) return std::nullopt;
  return step;
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    names.push_back(it->path().filename().string());
  if (error && error != std::errc::no_such_file_or_directory)
    input_error("{}: cannot be listed: {}; expected a folder of checkpoints", folder, error.message());
  return names;
}

}  // namespace

std::string CheckpointFolder::path_of(std::int64_t step) const {
  return fmt::format("{}/step-{:08d}.h5", path_, step);
}
std::string CheckpointFolder::best_path() const { return path_ + "/best.h5"; }

void CheckpointFolder::open_for_writing() const {
  std::error_code error;
  fs::create_directories(path_, error);
  if (error)
    input_error("{}: cannot be created: {}; choose a folder that can be written to", path_, error.message());
  remove_temporaries(path_);
}

std::vector<std::int64_t> CheckpointFolder::list() const {
  std::vector<std::int64_t> steps;
  for (const std::string& name : names_in(path_))
    if (const auto step = step_of(name); step && path_of(*step) == path_ + "/" + name) steps.push_back(*step);
  std::sort(steps.begin(), steps.end());
  return steps;
}

std::optional<CheckpointFolder::Found> CheckpointFolder::newest_good(
    const std::function<void(const std::string&)>& log) const {
  std::vector<std::string> candidates;
  for (const std::int64_t step : list()) candidates.insert(candidates.begin(), path_of(step));
  if (fs::exists(best_path())) candidates.push_back(best_path());
  for (const std::string& path : candidates) {
    try {
      return Found{path, read_checkpoint(path)};
    } catch (const InputError& e) {
      log(e.what());
    }
  }
  return std::nullopt;
}

void CheckpointFolder::write(std::int64_t step, std::span<const std::byte> image,
                             const std::string& tag) const {
  std::error_code ignored;  // by whoever deletes folders; if it cannot be made, neither can a file in it
  fs::create_directory(path_, ignored);
  write_file_durably(path_of(step), image, tag);
}

void CheckpointFolder::set_best(std::int64_t step, std::span<const std::byte> image,
                                const std::string& tag) const {
  const std::string temporary = temporary_path(best_path(), tag);
  ::unlink(temporary.c_str());
  if (::link(path_of(step).c_str(), temporary.c_str()) != 0)
    return write_file_durably(best_path(), image, tag);
  publish(temporary, best_path());
  ::unlink(temporary.c_str());  // rename() does nothing when both names already are the same file
}

void CheckpointFolder::prune(int keep_last, std::int64_t good_step) const {
  RONDO_CHECK(keep_last >= 1, "at least one checkpoint must be kept, not {}", keep_last);
  const std::vector<std::int64_t> steps = list();
  for (std::size_t i = 0; i + static_cast<std::size_t>(keep_last) < steps.size(); ++i) {
    std::error_code error;
    if (steps[i] != good_step) fs::remove(path_of(steps[i]), error);
    if (error) input_error("{}: an old checkpoint cannot be deleted: {}", path_of(steps[i]), error.message());
  }
}

}  // namespace rondo
