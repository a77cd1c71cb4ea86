#include "rondo/core/digest.hpp"

#include <sodium.h>

#include <array>
#include <cstdint>
#include <memory>

#include "rondo/core/error.hpp"

namespace rondo {
namespace {
constexpr std::size_t kBytes = 16;
crypto_generichash_state* as_state(void* p) { return static_cast<crypto_generichash_state*>(p); }
}  // namespace

Digest::Digest() : state_(sizeof(crypto_generichash_state) + 63) {
  RONDO_CHECK(sodium_init() >= 0, "libsodium could not be initialised");
  crypto_generichash_init(as_state(aligned()), nullptr, 0, kBytes);
}

void* Digest::aligned() {
  void* p = state_.data();
  std::size_t room = state_.size();
  return std::align(64, sizeof(crypto_generichash_state), p, room);
}

Digest& Digest::add(std::span<const std::byte> bytes) {
  crypto_generichash_update(as_state(aligned()), reinterpret_cast<const unsigned char*>(bytes.data()),
                            bytes.size());
  return *this;
}

Digest& Digest::add(std::string_view text) {
  const std::uint64_t size = text.size();  // lengths go in too: "ab","c" and "a","bc" differ
  add(std::as_bytes(std::span(&size, 1)));
  return add(std::as_bytes(std::span(text.data(), text.size())));
}

std::string Digest::hex() {
  std::array<unsigned char, kBytes> out{};
  crypto_generichash_final(as_state(aligned()), out.data(), out.size());
  return fmt::format("{:02x}", fmt::join(out, ""));
}

std::string digest_of(std::span<const std::byte> bytes) { return Digest().add(bytes).hex(); }

}  // namespace rondo
