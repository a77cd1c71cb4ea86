#include <algorithm>
#include <map>
#include <utility>

#include "checkpoint_format.hpp"
#include "rondo/core/error.hpp"
#include "rondo/io/checkpoint.hpp"
#include "rondo/io/hdf5.hpp"

namespace rondo {
namespace {

using namespace checkpoint_format;

const std::string kWhere = "checkpoint image";

/// Builds the file in memory: first its whole structure, then the raw data behind it. Nothing in it
/// depends on the time.
class ImageWriter {
 public:
  explicit ImageWriter(std::size_t expected_bytes) {
    const H5Handle access(H5Pcreate(H5P_FILE_ACCESS), "{}: no access list", kWhere);
    // One allocation for all; HDF5 would grow the image by copying it.
    hdf5_check(H5Pset_fapl_core(access, expected_bytes, false), "{}: no memory driver", kWhere);
    hdf5_check(H5Pset_libver_bounds(access, H5F_LIBVER_EARLIEST, H5F_LIBVER_V18), "{}: no 1.8 format",
               kWhere);
    const H5Handle create(H5Pcreate(H5P_FILE_CREATE), "{}: no creation list", kWhere);
    hdf5_check(H5Pset_userblock(create, Seal::kBytes), "{}: no user block", kWhere);
    file_ =
        H5Handle(H5Fcreate(kWhere.c_str(), H5F_ACC_TRUNC, create, access), "{}: cannot be created", kWhere);
    write_attribute(file_, "format", kFormat, kWhere);
    write_attribute(file_, "format_version", kVersion, kWhere);
    meta_ = H5Handle(H5Gcreate2(file_, kMeta.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                     "{}: no group {}", kWhere, kMeta);
  }

  void add_number(const std::string& name, const Scalar& value) {
    write_attribute(meta_, name, value, kWhere);
  }

  void add_text(const std::string& name, const std::string& text, const std::string& digest) {
    H5Handle type(H5Tcopy(H5T_C_S1), "{}: no text type", kWhere);
    H5Tset_cset(type, H5T_CSET_UTF8);
    H5Tset_strpad(type, H5T_STR_NULLPAD);
    H5Tset_size(type, stored(text).size());
    add(kMeta + "/" + name, std::move(type), {}, stored(text), digest);
  }

  void add_array(const NamedArray& array, const std::string& digest) {
    add(array.name, H5Handle(H5Tcopy(hdf5_type(array.type)), "{}: no type", kWhere), array.shape, array.bytes,
        digest);
  }

  /// The bytes a text has in the file: HDF5 has no text of length 0.
  static std::span<const std::byte> stored(const std::string& text) {
    static const std::string empty(1, '\0');
    return std::as_bytes(std::span(text.empty() ? empty : text));
  }

  /// Copies all that was added; it may go afterwards.
  void write_data() {
    for (const Dataset& d : datasets_) {
      if (d.bytes.empty()) continue;
      hdf5_check(H5Dwrite(d.set, d.type, H5S_ALL, H5S_ALL, H5P_DEFAULT, d.bytes.data()),
                 "{}: dataset {} cannot be written", kWhere, d.path);
      first_data_ = std::min(first_data_, static_cast<std::uint64_t>(H5Dget_offset(d.set)));
    }
  }

  std::vector<std::byte> finish() {
    hdf5_check(H5Fflush(file_, H5F_SCOPE_GLOBAL), "{}: cannot be completed", kWhere);
    const auto image_bytes = H5Fget_file_image(file_, nullptr, 0);  // without the user block
    hdf5_check(image_bytes, "{}: has no size", kWhere);
    Seal seal;
    seal.file_bytes = Seal::kBytes + static_cast<std::uint64_t>(image_bytes);
    seal.structure_end = std::min(first_data_, seal.file_bytes);

    std::vector<std::byte> image(seal.file_bytes);
    const std::span body = std::span(image).subspan(Seal::kBytes);
    hdf5_check(H5Fget_file_image(file_, body.data(), body.size()), "{}: cannot be copied", kWhere);
    const std::string block = seal.block(body.first(seal.structure_end - Seal::kBytes));
    std::ranges::copy(std::as_bytes(std::span(block)), image.begin());
    return image;
  }

 private:
  struct Dataset {
    std::string path;
    H5Handle type, set;
    std::span<const std::byte> bytes;
  };

  /// Creates a dataset; its storage is allocated later, when finish() writes to it.
  void add(const std::string& path, H5Handle type, const std::vector<std::int64_t>& shape,
           std::span<const std::byte> bytes, const std::string& digest) {
    const std::vector<hsize_t> dims(shape.begin(), shape.end());
    const auto rank = static_cast<int>(dims.size());
    const H5Handle space(rank == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(rank, dims.data(), nullptr),
                         "{}: dataset {} cannot have this shape", kWhere, path);
    const H5Handle links(H5Pcreate(H5P_LINK_CREATE), "{}: no creation list", kWhere);
    hdf5_check(H5Pset_create_intermediate_group(links, 1), "{}: no groups for {}", kWhere, path);
    const H5Handle create(H5Pcreate(H5P_DATASET_CREATE), "{}: no creation list", kWhere);
    hdf5_check(H5Pset_obj_track_times(create, false), "{}: times cannot be left out", kWhere);
    hdf5_check(H5Pset_alloc_time(create, H5D_ALLOC_TIME_LATE), "{}: no late allocation", kWhere);
    H5Handle set(H5Dcreate2(file_, path.c_str(), type, space, links, create, H5P_DEFAULT),
                 "{}: dataset {} cannot be created", kWhere, path);
    write_attribute(set, "digest", digest, kWhere);
    datasets_.push_back({path, std::move(type), std::move(set), bytes});
  }

  H5Handle file_, meta_;
  std::uint64_t first_data_ = HADDR_UNDEF;
  std::vector<Dataset> datasets_;
};

}  // namespace

std::vector<std::byte> checkpoint_image(Snapshot snapshot) {
  // Digests first: they are the slow part and need no HDF5.
  std::vector<std::string> digests;
  std::map<std::string, std::string> text_digests;
  std::size_t total = 1 << 20;
  for (const NamedArray& array : snapshot.arrays) {
    std::size_t count = size_of(array.type);
    for (const std::int64_t n : array.shape) count *= static_cast<std::size_t>(n);
    RONDO_CHECK(count == array.bytes.size(), "array {} has {} bytes, its shape needs {}", array.name,
                array.bytes.size(), count);
    RONDO_CHECK(array.name != kMeta && !array.name.starts_with(kMeta + "/"),
                "array {} is named like a scalar", array.name);
    digests.push_back(digest_of(array.bytes));
    total += array.bytes.size() + 1024;
  }
  for (const auto& [name, value] : snapshot.scalars) {
    if (const auto* text = std::get_if<std::string>(&value)) {
      RONDO_CHECK(text->find('\0') == std::string::npos, "text {} contains a NUL", name);
      text_digests[name] = digest_of(ImageWriter::stored(*text));
      total += text->size() + 1024;
    }
  }

  const auto lock = hdf5_lock();
  ImageWriter writer(total);
  for (const auto& [name, value] : snapshot.scalars) {
    if (const auto* text = std::get_if<std::string>(&value))
      writer.add_text(name, *text, text_digests[name]);
    else
      writer.add_number(name, value);
  }
  for (std::size_t i = 0; i < snapshot.arrays.size(); ++i) writer.add_array(snapshot.arrays[i], digests[i]);
  writer.write_data();
  snapshot.arrays.clear();  // HDF5 has a copy, and finish() makes another: two at a time are enough
  return writer.finish();
}

}  // namespace rondo
