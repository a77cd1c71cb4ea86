// What the tests of comm share: the ranks, and words of which every rank knows the sum.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "rondo/comm/communicator.hpp"
#include "rondo/core/error.hpp"

namespace rondo {

inline Communicator& world() {
  static const std::unique_ptr<Communicator> comm = Communicator::world(30);
  return *comm;
}

/// The word that `rank` puts at place `i`.
inline std::uint32_t word(int rank, std::size_t i, std::uint32_t salt = 0) {
  const auto x = (static_cast<std::uint32_t>(i) + salt * 977u) * 2654435761u +
                 static_cast<std::uint32_t>(rank) * 0x9E3779B9u;
  return (x ^ (x >> 15)) * 0x85EBCA6Bu;
}

inline std::uint32_t sum_of_words(std::size_t i, std::uint32_t salt = 0) {
  std::uint32_t sum = 0;
  for (int r = 0; r < world().size(); ++r) sum += word(r, i, salt);
  return sum;
}

inline std::string text_of_error(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace rondo
