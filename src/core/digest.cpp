#include "rondo/core/digest.hpp"

#include <fmt/ranges.h>
#include <sodium.h>

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>

#include "rondo/core/error.hpp"

namespace rondo {
namespace {
constexpr std::size_t kBytes = 16;

constexpr std::uint64_t kOdd = 0x9e3779b97f4a7c15;
// One to one in either argument.
std::uint64_t mixed(std::uint64_t state, std::uint64_t word) { return std::rotl((state ^ word) * kOdd, 29); }

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

std::uint64_t quick_digest(std::span<const std::byte> bytes) {
  constexpr std::size_t kLanes = 8,
                        kRound = kLanes * sizeof(std::uint64_t);  // as a multiplier can have in work
  std::uint64_t lanes[kLanes] = {1, 2, 3, 4, 5, 6, 7, 8}, words[kLanes];
  std::size_t at = 0;
  for (; at + kRound <= bytes.size(); at += kRound) {
    std::memcpy(words, bytes.data() + at, kRound);
    for (std::size_t i = 0; i < kLanes; ++i) lanes[i] = mixed(lanes[i], words[i]);
  }
  std::memset(words, 0, kRound);
  if (at < bytes.size()) std::memcpy(words, bytes.data() + at, bytes.size() - at);
  std::uint64_t digest = bytes.size();
  for (std::size_t i = 0; i < kLanes; ++i) digest = mixed(digest, mixed(lanes[i], words[i]));
  return digest;
}

}  // namespace rondo
