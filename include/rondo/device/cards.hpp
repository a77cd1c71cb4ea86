/// The NVIDIA cards of this host, for `rondo doctor`. Empty in a build without CUDA or without a driver.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace rondo {

struct Card {
  std::string name;
  std::size_t memory = 0;    ///< bytes
  int major = 0, minor = 0;  ///< compute capability
  int multiprocessors = 0;
  /// FLOP/s of products of float32, tf32, and bfloat16 or float16 operands; 0: not known
  double peak_float32 = 0, peak_tf32 = 0, peak_halves = 0;
  std::vector<int> peers;  ///< cards whose memory this one can reach
};

struct CardReport {
  std::string driver, runtime, cublas;  ///< versions; the newest CUDA that the driver knows
  std::vector<Card> cards;
};

CardReport report_cards();

}  // namespace rondo
