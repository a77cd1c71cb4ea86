/// What the writer and the reader of checkpoints agree on.
#pragma once

#include <fmt/core.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "rondo/core/digest.hpp"

namespace rondo::checkpoint_format {

inline const std::string kFormat = "rondo-checkpoint";
inline constexpr std::int64_t kVersion = 1;
inline const std::string kMeta = "meta";

/// The first 512 bytes of a file, HDF5's "user block", which HDF5 leaves to its users. It seals the bytes
/// that HDF5 interprets, so that they can be verified before HDF5 sees them: its error paths are not safe
/// (1.10 frees uninitialised pointers after damage that its own checksums have found).
struct Seal {
  static constexpr std::size_t kBytes = 512;

  std::uint64_t file_bytes = 0;
  std::uint64_t structure_end = 0;  ///< bytes 512 to here are HDF5's structure, the rest raw data

  std::string text() const {
    return fmt::format("{} {}\nbytes {}\nstructure {}\n", kFormat, kVersion, file_bytes, structure_end);
  }
  /// The block: the text, the digest of the text and the structure, and zeros.
  std::string block(std::span<const std::byte> structure) const {
    std::string block = text();
    block += "digest " + Digest().add(std::as_bytes(std::span(block))).add(structure).hex() + "\n";
    block.resize(kBytes, '\0');
    return block;
  }
};

}  // namespace rondo::checkpoint_format
