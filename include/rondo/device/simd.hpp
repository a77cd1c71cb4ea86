/// The hot CPU loops, compiled once per instruction set and chosen at run time.
///
/// Every loop gives the same bits on every instruction set and for every split into body and tail:
/// element-wise operations with explicit fused multiply-add, and reductions over 16 fixed lanes.
/// Spans do not overlap unless a function says so; sizes are in elements; no alignment is needed.
#pragma once

#include <cstddef>
#include <cstdint>

#include "rondo/core/philox.hpp"
#include "rondo/device/tensor.hpp"

namespace rondo {

enum class Activation : int { identity, relu, gelu, silu };

/// What AdamW and SGD need for one call: see optim/optimizer.hpp for the meaning.
struct AdamWStep {
  float learning_rate, beta1, beta2, epsilon, weight_decay;
  float correction1, correction2;  ///< 1 / (1 - beta^t)
};

/// For sums over ranks that go to all of them.
inline constexpr int kEveryRank = -1;

struct Simd {
  const char* name;  ///< "baseline", "avx2", "avx512"

  // -- exchange ----------------------------------------------------------------------------------
  /// y += x mod 2^32
  void (*add_i32)(std::uint32_t* y, const std::uint32_t* x, std::size_t n);
  void (*add_f32)(float* y, const float* x, std::size_t n);
  /// For i in [begin, end): the sum over ranks r of peers[r][i] goes to peers[only][i], or to every
  /// peers[r][i] where `only` is kEveryRank.
  void (*sum_i32)(std::uint32_t* const* peers, int ranks, std::size_t begin, std::size_t end, int only);
  void (*sum_f32)(std::uint32_t* const* peers, int ranks, std::size_t begin, std::size_t end, int only);
  /// As sum_i32 for the block of kBlock words from `begin` on; seals[r] = the seal of what peers[r] had
  /// there.
  void (*sum_sealed_i32)(std::uint32_t* const* peers, int ranks, std::size_t begin, int only,
                         std::uint32_t* seals);
  /// The seal of a block (see seal_weight).
  std::uint32_t (*seal)(const std::uint32_t* q);
  /// One block: q = rint(g * scale), or -2^31 where that does not fit, and to it is added what q held, values
  /// converted like g. Unless `seal` is null, *seal = that of q. Returns the largest bit pattern of |g| and
  /// of |values| (NaN > Inf > numbers), by which the caller knows whether everything did fit.
  std::uint32_t (*quantise)(std::uint32_t* q, const float* g, Held held, float scale, std::uint32_t* seal);
  /// As sum_sealed_i32 where peers have float32: the sums are of rint(x * scale). Returns the largest bit
  /// pattern of |x|.
  std::uint32_t (*quantise_sum_sealed)(std::uint32_t* const* peers, int ranks, std::size_t begin, float scale,
                                       int only, std::uint32_t* seals);
  /// As sum_f32 for every rank, but exact: the sum over ranks of rint(peers[r][i] * scale), times `inverse`.
  /// Returns the largest bit pattern of |peers[r][i]|.
  std::uint32_t (*exact_sum_all)(std::uint32_t* const* peers, int ranks, std::size_t begin, std::size_t end,
                                 float scale, float inverse);
  /// The checksum of q as kChecksumPrime says. n <= 2^15.
  std::uint32_t (*checksum)(const std::uint32_t* q, std::size_t n);
  /// g = q * scale
  void (*dequantise)(float* g, const std::uint32_t* q, std::size_t n, float scale);
  /// With x = values + residual: q = rint(x / step) clipped to +-limit (0 where step is), values = x - q *
  /// step. Returns the largest bit pattern of |x|. limit <= 2^22.
  std::uint32_t (*encode)(std::int32_t* q, float* values, const float* residual, std::size_t n, float step,
                          float limit);
  /// Largest bit pattern of |g|.
  std::uint32_t (*max_bits)(const float* g, std::size_t n);
  double (*sum_squares)(const float* x, std::size_t n);

  // -- layers ------------------------------------------------------------------------------------
  /// y[r][c] = act(y[r][c] + bias[c]); slope[r][c] = act'(...) unless slope is null.
  void (*bias_activation)(float* y, float* slope, const float* bias, std::size_t rows, std::size_t cols,
                          Activation act);
  /// dy[r][c] *= slope[r][c] (unless slope is null); bias_grad[c] (+)= sum over r of dy[r][c].
  void (*activation_backward)(float* dy, const float* slope, float* bias_grad, std::size_t rows,
                              std::size_t cols, bool add);
  void (*scale)(float* y, const float* x, std::size_t n, float factor);  ///< y = x * factor; may alias
  /// mask[r][c] = 0 with probability p, else 1 / (1 - p), from element (first_row + r, c) of the stream: its
  /// word c % 4 of block (first_row + r) * ceil(cols / 4) + c / 4.
  void (*dropout_mask)(float* mask, std::size_t rows, std::size_t cols, float p, const RandomStream& stream,
                       std::uint64_t first_row);
  void (*multiply)(float* y, const float* x, std::size_t n);  ///< y *= x
  /// to = x rounded to bfloat16, nearest even
  void (*to_bfloat16)(std::uint16_t* to, const float* x, std::size_t n);

  // -- optimizer ---------------------------------------------------------------------------------
  /// w, m, v updated from g * grad_scale. Loshchilov and Hutter, "Decoupled weight decay" (2019). Returns the
  /// sum mod 2^32 of the bits that w, m and v had before.
  std::uint32_t (*adamw_f32)(float* w, float* m, float* v, const float* g, std::size_t n, float grad_scale,
                             AdamWStep);
  /// The same from fixed point: g = q * grad_scale.
  std::uint32_t (*adamw_i32)(float* w, float* m, float* v, const std::uint32_t* q, std::size_t n,
                             float grad_scale, AdamWStep);
  /// m = momentum * m + (g + decay * w); w -= rate * m. Returns the sum of the bits that both had before.
  std::uint32_t (*sgd)(float* w, float* m, const float* g, std::size_t n, float rate, float momentum,
                       float decay);
  /// average = decay * average + (1 - decay) * w
  void (*average)(float* average, const float* w, std::size_t n, float decay);

  // -- the machine -------------------------------------------------------------------------------
  /// `rounds` rounds of independent fused multiply-adds from registers, nothing else: what the units can do.
  /// Returns how many floating point operations that were; `seed` and `result` keep them from being removed.
  double (*fused_adds)(std::size_t rounds, float seed, float* result);
};

/// The best table that this machine can run. All give the same bits, so ONEDNN_MAX_CPU_ISA, which does change
/// oneDNN's, has no say here.
const Simd& simd();
/// Every table that this machine can run, for tests.
const Simd* const* simd_tables(std::size_t* count);

}  // namespace rondo
