/// Digests of bytes: BLAKE2b (RFC 7693) from libsodium.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rondo {

/// Feeds bytes and names, gives one lower-case hex digest.
class Digest {
 public:
  Digest();
  Digest& add(std::span<const std::byte> bytes);
  Digest& add(std::string_view text);
  /// 32 hex characters (128 bits). The object is spent afterwards.
  std::string hex();

 private:
  std::vector<unsigned char> state_;  // crypto_generichash_state, kept opaque and aligned by hand
  void* aligned();
};

/// Digest of one span of bytes.
std::string digest_of(std::span<const std::byte> bytes);

/// A quick digest of 64 bits, at memory speed: for telling whether two copies are the same where chance and
/// no adversary made them differ. Whatever changes within 64 bits changes it for certain.
std::uint64_t quick_digest(std::span<const std::byte> bytes);

}  // namespace rondo
