#include "rondo/io/durable.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <vector>

#include "rondo/core/error.hpp"

namespace rondo {
namespace {

constexpr std::string_view kMark = ".tmp-";

// Whether temporary_path() makes such names.
bool is_temporary(const std::string& file_name) {
  const auto at = file_name.rfind(kMark);
  if (!file_name.starts_with('.') || at == std::string::npos) return false;
  int pid = 0;
  const char* first = file_name.data() + at + kMark.size();
  const auto [end, error] = std::from_chars(first, file_name.data() + file_name.size(), pid);
  return error == std::errc{} && pid > 0 && *end == '-';
}

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

std::string folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

/// Removes the temporary file and throws with the reason in errno.
[[noreturn]] void give_up(const std::string& path, const std::string& temporary, const std::string& what) {
  const int error = errno;
  ::unlink(temporary.c_str());
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  input_error("{}: {}: {}; {}", path, what, std::strerror(error),
              full ? "free space there or choose another folder (the file of this name, if any, is unchanged)"
                   : "check that the folder exists and can be written to");
}

void write_all(int fd, std::span<const std::byte> bytes, const std::string& path,
               const std::string& temporary) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::write(fd, bytes.data() + done, bytes.size() - done);
    if (n > 0) done += static_cast<std::size_t>(n);
    if (n == 0) errno = ENOSPC;
    if (n == 0 || (n < 0 && errno != EINTR))
      give_up(path, temporary, fmt::format("writing stopped after {} of {} bytes", done, bytes.size()));
  }
  // On this descriptor, not only later: a network file system may tell the writer alone that it failed.
  if (::fsync(fd) != 0)
    give_up(path, temporary, fmt::format("{} bytes cannot be made durable", bytes.size()));
}

}  // namespace

std::string temporary_path(const std::string& path, const std::string& tag) {
  const std::filesystem::path target(path);
  return (target.parent_path() /
          fmt::format(".{}{}{}-{}", target.filename().string(), kMark, ::getpid(), tag))
      .string();
}

void remove_temporaries(const std::string& folder) {
  std::error_code error;
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error))
    if (is_temporary(entry.path().filename().string())) found.push_back(entry.path());
  for (const auto& path : found) std::filesystem::remove(path, error);
}

void publish(const std::string& temporary, const std::string& path) {
  {
    const Descriptor file{::open(temporary.c_str(), O_RDONLY | O_CLOEXEC)};
    if (file.fd < 0 || ::fsync(file.fd) != 0) give_up(path, temporary, "cannot be made durable");
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) give_up(path, temporary, "cannot be given its name");
  const Descriptor folder{::open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  // Some network file systems cannot fsync a folder and say EINVAL: there is nothing more to do there.
  if (folder.fd < 0 || (::fsync(folder.fd) != 0 && errno != EINVAL))
    input_error("{}: was written, but its folder cannot be made durable: {}", path, std::strerror(errno));
}

void write_file_durably(const std::string& path, std::span<const std::byte> bytes, const std::string& tag) {
  const std::string temporary = temporary_path(path, tag);
  {
    const Descriptor file{::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)};
    if (file.fd < 0)
      give_up(path, temporary, fmt::format("cannot be created ({} bytes needed)", bytes.size()));
    write_all(file.fd, bytes, path, temporary);
  }
  publish(temporary, path);
}

}  // namespace rondo
