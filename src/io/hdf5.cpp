#include "rondo/io/hdf5.hpp"

#include <algorithm>
#include <bit>

#include "rondo/core/error.hpp"
#include "rondo/io/printable.hpp"

namespace rondo {

static_assert(std::endian::native == std::endian::little, "files and digests are little-endian");

std::unique_lock<std::recursive_mutex> hdf5_lock() {
  static std::recursive_mutex mutex;
  std::unique_lock lock(mutex);
  // A thread-safe HDF5 has one error stack a thread, so this is done once in each.
  thread_local const herr_t silenced = H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  static_cast<void>(silenced);
  return lock;
}

void hdf5_failed(const std::string& what) {
  std::string reason;
  const auto deepest = [](unsigned, const H5E_error2_t* entry, void* out) -> herr_t {
    auto& text = *static_cast<std::string*>(out);
    if (text.empty() && entry->desc != nullptr) text = entry->desc;
    return 0;
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, deepest, &reason);
  // HDF5 wraps the system's words into times, descriptors and addresses that help nobody.
  constexpr std::string_view mark = "error message = '";
  if (const auto at = reason.find(mark); at != std::string::npos) {
    reason.erase(0, at + mark.size());
    reason.resize(std::min(reason.find('\''), reason.size()));
  }
  throw InputError(
      fmt::format("{} (HDF5: {})", what, reason.empty() ? "no reason given" : printable(reason)));
}

H5Handle::~H5Handle() {
  if (id_ < 0) return;
  const auto lock = hdf5_lock();
  H5Idec_ref(id_);
}

hid_t hdf5_type(DType type) {
  switch (type) {
    case DType::float32:
      return H5T_NATIVE_FLOAT;
    case DType::float64:
      return H5T_NATIVE_DOUBLE;
    case DType::int16:
      return H5T_NATIVE_INT16;
    case DType::int32:
      return H5T_NATIVE_INT32;
    case DType::int64:
      return H5T_NATIVE_INT64;
    case DType::uint32:
      return H5T_NATIVE_UINT32;
  }
  return -1;
}

H5Handle open_hdf5(const std::string& path) {
  const auto lock = hdf5_lock();
  const H5Handle access(H5Pcreate(H5P_FILE_ACCESS), "{}: no access list", path);
  hdf5_check(H5Pset_file_locking(access, false, true), "{}: locking cannot be turned off", path);
  return H5Handle(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access),
                  "{}: cannot be opened: it is missing, no HDF5 file, truncated or damaged", path);
}

std::vector<std::string> hdf5_children(hid_t group, const std::string& where) {
  std::vector<std::string> names;
  const auto add = [](hid_t, const char* name, const H5L_info_t* info, void* out) -> herr_t {
    if (info->type == H5L_TYPE_HARD) static_cast<std::vector<std::string>*>(out)->emplace_back(name);
    return 0;
  };
  hdf5_check(H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, nullptr, add, &names), "{}: cannot be listed",
             where);
  return names;
}

std::vector<std::string> hdf5_attributes(hid_t object, const std::string& where) {
  std::vector<std::string> names;
  const auto add = [](hid_t, const char* name, const H5A_info_t*, void* out) -> herr_t {
    static_cast<std::vector<std::string>*>(out)->emplace_back(name);
    return 0;
  };
  hdf5_check(H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_INC, nullptr, add, &names),
             "{}: attributes cannot be listed, the file is damaged", where);
  return names;
}

void write_attribute(hid_t object, const std::string& name, const Scalar& value, const std::string& where) {
  const auto lock = hdf5_lock();
  H5Handle type;
  const void* data = nullptr;
  if (const auto* text = std::get_if<std::string>(&value)) {
    type = H5Handle(H5Tcopy(H5T_C_S1), "{}: no text type", where);
    H5Tset_cset(type, H5T_CSET_UTF8);
    H5Tset_strpad(type, H5T_STR_NULLPAD);
    H5Tset_size(type, std::max<std::size_t>(1, text->size()));
    data = text->c_str();
  } else if (const auto* integer = std::get_if<std::int64_t>(&value)) {
    type = H5Handle(H5Tcopy(H5T_NATIVE_INT64), "{}: no integer type", where);
    data = integer;
  } else {
    type = H5Handle(H5Tcopy(H5T_NATIVE_DOUBLE), "{}: no real type", where);
    data = &std::get<double>(value);
  }
  const H5Handle space(H5Screate(H5S_SCALAR), "{}: no dataspace", where);
  const H5Handle attribute(H5Acreate2(object, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT),
                           "{}: attribute {} cannot be created", where, printable(name));
  hdf5_check(H5Awrite(attribute, type, data), "{}: attribute {} cannot be written", where, printable(name));
}

namespace {

std::optional<std::string> read_text(hid_t attribute, hid_t type) {
  if (H5Tis_variable_str(type) > 0) {  // what h5py writes
    char* text = nullptr;
    if (H5Aread(attribute, type, static_cast<void*>(&text)) < 0 || text == nullptr) return std::nullopt;
    std::string value = text;
    H5free_memory(text);
    return value;
  }
  std::string value(H5Tget_size(type), '\0');
  if (H5Aread(attribute, type, value.data()) < 0) return std::nullopt;
  value.resize(value.find_last_not_of('\0') + 1);
  return value;
}

}  // namespace

std::optional<Scalar> read_attribute(hid_t object, const std::string& name, const std::string& where) {
  const auto lock = hdf5_lock();
  const htri_t exists = H5Aexists(object, name.c_str());
  hdf5_check(exists, "{}: attribute {} cannot be looked up, the file is damaged", where, printable(name));
  if (exists == 0) return std::nullopt;
  const H5Handle attribute(H5Aopen(object, name.c_str(), H5P_DEFAULT),
                           "{}: attribute {} cannot be opened, the file is damaged", where, printable(name));
  const H5Handle type(H5Aget_type(attribute), "{}: attribute {} has no type", where, printable(name));
  const H5Handle space(H5Aget_space(attribute), "{}: attribute {} has no shape", where, printable(name));
  if (H5Sget_simple_extent_npoints(space) != 1) return std::nullopt;
  switch (H5Tget_class(type)) {
    case H5T_INTEGER: {
      std::int64_t value = 0;
      if (H5Aread(attribute, H5T_NATIVE_INT64, &value) < 0) return std::nullopt;
      return value;
    }
    case H5T_FLOAT: {
      double value = 0;
      if (H5Aread(attribute, H5T_NATIVE_DOUBLE, &value) < 0) return std::nullopt;
      return value;
    }
    case H5T_STRING:
      if (auto text = read_text(attribute, type)) return *text;
      return std::nullopt;
    default:
      return std::nullopt;
  }
}

}  // namespace rondo
