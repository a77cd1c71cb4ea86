#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>

#include "checkpoint_format.hpp"
#include "rondo/core/error.hpp"
#include "rondo/io/checkpoint.hpp"
#include "rondo/io/hdf5.hpp"
#include "rondo/io/printable.hpp"

namespace rondo {
namespace {

using namespace checkpoint_format;

constexpr const char* kRemedy = "the file is damaged; use an earlier checkpoint";
class File {
 public:
  explicit File(const std::string& path) : path_(path), fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (fd_ < 0)
      input_error("{}: cannot be opened: {}; expected a checkpoint file", path, std::strerror(errno));
  }
  ~File() { ::close(fd_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  std::uint64_t size() const {
    struct stat info {};
    if (::fstat(fd_, &info) != 0 || !S_ISREG(info.st_mode))
      input_error("{}: is not a regular file; expected a checkpoint file", path_);
    return static_cast<std::uint64_t>(info.st_size);
  }
  /// Up to `count` bytes from `offset`: fewer if the file ends before.
  std::string read(std::uint64_t offset, std::uint64_t count) const {
    std::string bytes(count, '\0');
    std::size_t done = 0;
    while (done < count) {
      const ssize_t n = ::pread(fd_, bytes.data() + done, count - done, static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) input_error("{}: cannot be read: {}", path_, std::strerror(errno));
      if (n == 0) break;
      done += static_cast<std::size_t>(n);
    }
    bytes.resize(done);
    return bytes;
  }

 private:
  const std::string& path_;
  const int fd_;
};

/// Verifies all that HDF5 will interpret, before it does. Returns the file's size.
std::uint64_t check_seal(const std::string& path) {
  const File file(path);
  const std::uint64_t size = file.size();
  const std::string block = file.read(0, Seal::kBytes);
  if (!block.starts_with(kFormat + " "))
    input_error("{}: {}; expected a checkpoint file", path,
                size == 0 ? "is empty"
                : block.starts_with("\x89HDF\r\n")
                    ? "is an HDF5 file but was not written as a Rondo checkpoint"
                    : "is not a Rondo checkpoint, or its first bytes are damaged");
  Seal seal;
  long long version = 0;
  const int found =
      std::sscanf(block.c_str() + kFormat.size(), " %lld\nbytes %" SCNu64 "\nstructure %" SCNu64, &version,
                  &seal.file_bytes, &seal.structure_end);
  if (found >= 1 && version != kVersion)
    input_error(
        "{}: has checkpoint version {}, but this program reads version {}; use the program that wrote it",
        path, version, kVersion);
  if (found == 3 && size < seal.file_bytes)
    input_error("{}: is truncated: it has {} bytes of {}; use an earlier checkpoint", path, size,
                seal.file_bytes);
  const bool sane = found == 3 && size == seal.file_bytes && seal.structure_end >= Seal::kBytes &&
                    seal.structure_end <= size;
  const std::string structure = sane ? file.read(Seal::kBytes, seal.structure_end - Seal::kBytes) : "";
  if (!sane || seal.block(std::as_bytes(std::span(structure))) != block)
    input_error("{}: checksum of its structure does not match, {}", path, kRemedy);
  return size;
}

/// Walks an open file and collects its datasets with the digests they should have.
class Reader {
 public:
  Reader(const std::string& path, std::uint64_t file_bytes) : path_(path), room_(file_bytes) {
    file_ = open_hdf5(path);
    walk(file_, "", 0);
    read_numbers();
  }

  Snapshot take_verified() {
    for (std::size_t i = 0; i < digests_.size(); ++i)
      verify(snapshot_.arrays[i].name, snapshot_.arrays[i].bytes, digests_[i]);
    return std::move(snapshot_);
  }

 private:
  void walk(hid_t group, const std::string& prefix, int depth) {
    if (depth > 32) input_error("{}: group {}: nested too deeply, {}", path_, printable(prefix), kRemedy);
    for (const std::string& child : hdf5_children(group, path_)) {
      const std::string name = prefix + child;
      const H5Handle object(H5Oopen(group, child.c_str(), H5P_DEFAULT), "{}: object {}: cannot be opened, {}",
                            path_, printable(name), kRemedy);
      switch (H5Iget_type(object)) {
        case H5I_GROUP:
          walk(object, name + "/", depth + 1);
          break;
        case H5I_DATASET:
          read_dataset(object, name);
          break;
        default:
          refuse(name, "is neither group nor dataset");
      }
    }
  }

  [[noreturn]] void refuse(const std::string& name, const char* why) const {
    input_error("{}: dataset {}: {}, {}", path_, printable(name), why, kRemedy);
  }

  void read_dataset(hid_t set, const std::string& name) {
    const H5Handle type(H5Dget_type(set), "{}: dataset {}: has no type, {}", path_, printable(name), kRemedy);
    const H5Handle space(H5Dget_space(set), "{}: dataset {}: has no shape, {}", path_, printable(name),
                         kRemedy);
    // Before any allocation: what the dataset claims to hold must be stored in this file.
    const std::uint64_t element = H5Tget_size(type), stored = H5Dget_storage_size(set);
    const hssize_t count = H5Sget_simple_extent_npoints(space);
    if (count < 0 || element == 0 || stored > room_ || stored % element != 0 ||
        stored / element != static_cast<std::uint64_t>(count))
      refuse(name, "its size does not fit the file");
    room_ -= stored;
    std::vector<std::byte> bytes(stored);
    if (stored > 0)
      hdf5_check(H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data()),
                 "{}: dataset {}: cannot be read, {}", path_, printable(name), kRemedy);
    const auto digest = read_attribute(set, "digest", path_);
    if (!digest || !std::holds_alternative<std::string>(*digest)) refuse(name, "has no checksum");

    if (H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 && name.starts_with(kMeta + "/")) {
      verify(name, bytes, std::get<std::string>(*digest));
      std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      text.resize(text.find_last_not_of('\0') + 1);
      snapshot_.scalars[name.substr(kMeta.size() + 1)] = std::move(text);
      return;
    }
    snapshot_.arrays.push_back({name, element_type(type, name), shape_of(space), std::move(bytes)});
    digests_.push_back(std::get<std::string>(*digest));
  }

  void verify(const std::string& name, std::span<const std::byte> bytes, const std::string& digest) const {
    if (digest_of(bytes) != digest) refuse(name, "checksum does not match");
  }

  DType element_type(hid_t type, const std::string& name) const {
    for (const DType known :
         {DType::float32, DType::float64, DType::int16, DType::int32, DType::int64, DType::uint32})
      if (H5Tequal(type, hdf5_type(known)) > 0) return known;
    refuse(name, "has a type that no checkpoint has");
  }

  static std::vector<std::int64_t> shape_of(hid_t space) {
    std::vector<hsize_t> dims(static_cast<std::size_t>(std::max(0, H5Sget_simple_extent_ndims(space))));
    H5Sget_simple_extent_dims(space, dims.data(), nullptr);
    return {dims.begin(), dims.end()};
  }

  void read_numbers() {
    const H5Handle meta(H5Gopen2(file_, kMeta.c_str(), H5P_DEFAULT), "{}: has no group {}, {}", path_, kMeta,
                        kRemedy);
    for (const std::string& name : hdf5_attributes(meta, path_)) {
      const auto value = read_attribute(meta, name, path_);
      if (!value)
        input_error("{}: attribute {} of {}: is no number, {}", path_, printable(name), kMeta, kRemedy);
      snapshot_.scalars[name] = *value;
    }
  }

  std::string path_;
  std::uint64_t room_;  // bytes of the file that no dataset has claimed yet
  H5Handle file_;
  Snapshot snapshot_;
  std::vector<std::string> digests_;  // what snapshot_.arrays must have
};

Reader open_and_read(const std::string& path) {
  const std::uint64_t size = check_seal(path);
  const auto lock = hdf5_lock();
  return Reader(path, size);
}

}  // namespace

Snapshot read_checkpoint(const std::string& path) {
  // The digests are computed after HDF5 has been let go; `room_` has bounded what was allocated.
  return open_and_read(path).take_verified();
}

}  // namespace rondo
