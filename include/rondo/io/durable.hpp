/// Files that are either there in full or not at all, also after a crash or with a full disk.
///
/// The order is the usual one: write a temporary name in the same folder, fsync it, rename it over the
/// target (atomic by POSIX), fsync the folder so that the new name survives a power cut.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace rondo {

/// "folder/.name.tmp-<pid>-<tag>": the temporary name beside `path`. `tag` tells writers of one process
/// apart and must be fit for a file name.
std::string temporary_path(const std::string& path, const std::string& tag);

/// Removes files of a folder that have names of temporary_path(), as far as that goes. For the owner of the
/// run's lock: whoever wrote them is gone, on this host or another.
void remove_temporaries(const std::string& folder);

/// Makes a complete file `temporary` durable under the name `path`. On failure removes `temporary`, leaves
/// `path` as it was and throws InputError.
void publish(const std::string& temporary, const std::string& path);

/// Writes `bytes` to `path` in this way. On any failure (full disk, quota, missing folder) nothing is left
/// behind, an older `path` is untouched and an InputError says what failed and how many bytes were needed.
void write_file_durably(const std::string& path, std::span<const std::byte> bytes, const std::string& tag);

}  // namespace rondo
