/// HDF5 handles that close themselves, and HDF5 errors as one readable line.
///
/// HDF5 is thread-safe only if it was built so, and then serialises all calls anyway. Whoever touches it
/// holds `hdf5_lock()` over a whole group of calls, never over slow work that needs no HDF5.
#pragma once

#include <fmt/core.h>
#include <hdf5.h>

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rondo/core/state.hpp"

namespace rondo {

/// The lock around every use of HDF5 in this process. Recursive: a handle takes it again when it closes.
/// Also keeps HDF5 from printing its own error stack in this thread.
std::unique_lock<std::recursive_mutex> hdf5_lock();

/// Throws InputError: `what`, then in brackets the reason at the bottom of HDF5's error stack.
[[noreturn]] void hdf5_failed(const std::string& what);

/// Owns one HDF5 identifier of any kind (file, group, dataset, dataspace, type, property list, attribute).
class H5Handle {
 public:
  H5Handle() = default;
  /// Takes over `id`, the result of an HDF5 call; if it is negative, throws InputError with this text.
  template <class... Args>
  H5Handle(hid_t id, fmt::format_string<Args...> what, Args&&... args) : id_(id) {
    if (id < 0) hdf5_failed(fmt::format(what, std::forward<Args>(args)...));
  }
  H5Handle(H5Handle&& other) noexcept : id_(std::exchange(other.id_, -1)) {}
  H5Handle& operator=(H5Handle&& other) noexcept {
    std::swap(id_, other.id_);
    return *this;
  }
  ~H5Handle();
  operator hid_t() const { return id_; }

 private:
  hid_t id_ = -1;
};

/// Throws InputError with this text if an HDF5 call returned a negative `result`.
template <class... Args>
void hdf5_check(long long result, fmt::format_string<Args...> what, Args&&... args) {
  if (result < 0) hdf5_failed(fmt::format(what, std::forward<Args>(args)...));
}

/// The in-memory HDF5 type of an element. Not owned by the caller.
hid_t hdf5_type(DType type);

/// Opens a file for reading. Takes no file lock: many ranks read one file, and network file systems may
/// have no locks.
H5Handle open_hdf5(const std::string& path);

/// Names of the links of a group and of the attributes of an object, sorted. Only hard links: soft and
/// external ones are left out. `where` (a file name) goes into errors.
std::vector<std::string> hdf5_children(hid_t group, const std::string& where);
std::vector<std::string> hdf5_attributes(hid_t object, const std::string& where);

/// Writes a scalar attribute; text is UTF-8 of fixed length.
void write_attribute(hid_t object, const std::string& name, const Scalar& value, const std::string& where);
/// Reads one; nothing if it is absent or no single integer, real number or text.
std::optional<Scalar> read_attribute(hid_t object, const std::string& name, const std::string& where);

}  // namespace rondo
