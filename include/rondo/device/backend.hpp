/// Backend: one object per kind of device, chosen at run time. All arithmetic of training goes through it.
///
/// Every operation is deterministic: same inputs, same bits. Outputs do not overlap inputs unless an
/// operation says so. Operations check no shapes; layers do, once, when they are built. Tensors are device
/// memory, and so are tables of one number a block or row (scales, max_bits, checksums, squares, losses,
/// block_decay): an operation may be queued and done later, in order; copy_out waits for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <memory_resource>
#include <span>
#include <string>
#include <vector>

#include "rondo/core/clock.hpp"
#include "rondo/core/philox.hpp"
#include "rondo/device/simd.hpp"
#include "rondo/device/tensor.hpp"

namespace rondo {

/// Memory of a device; freed with the object.
class Buffer {
 public:
  virtual ~Buffer() = default;
  virtual void* data() = 0;
  virtual std::size_t bytes() const = 0;
};

/// A causal convolution over [batch * time, channels]: tap k of `taps` looks (taps-1-k) * dilation back.
struct ConvShape {
  std::int64_t batch, time, channels, taps, dilation;
};

/// Gradients as the optimizer reads them: float32 `values`, or `fixed` point; block i is to be multiplied
/// by block_scale[i] (its exponent and the clipping factor).
struct GradientView {
  const real* values = nullptr;
  const std::uint32_t* fixed = nullptr;
  const float* block_scale = nullptr;

  /// The same from a block on.
  GradientView from(std::int64_t block) const {
    return {values == nullptr ? nullptr : values + block * kBlock,
            fixed == nullptr ? nullptr : fixed + block * kBlock, block_scale + block};
  }
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string name() const = 0;
  /// Everything about this device that can change bits, for the numerics fingerprint: library versions,
  /// instruction set or card, threads, and the digest of a probe calculation.
  virtual std::string numerics() = 0;

  /// Whether device memory is host memory, and calls are done when they return.
  virtual bool reads_host_memory() const = 0;
  /// The queue on which operations run in order: a cudaStream_t, or null. What was given to the backend so
  /// far is on it; what comes later may be held back, so ask again.
  virtual void* stream() { return nullptr; }
  /// Why products of this precision cannot be had here, in words for a user; empty if they can.
  virtual std::string why_not(Precision precision) = 0;
  /// FLOP/s that products could reach on this device: by its units and clocks, or measured on registers alone
  /// (CPU, float32). 0 where that is not known.
  virtual double peak_flops(Precision /*operands*/) { return 0; }

  /// Time on the device: restart_clock() forgets all moments; moment() notes when the device gets to what is
  /// queued next (on another of its streams, where one is given); when() says it in now_s()'s terms, once it
  /// has been waited for.
  virtual void restart_clock() { moments_.clear(); }
  virtual std::size_t moment(void* /*stream*/ = nullptr) {
    moments_.push_back(now_s());
    return moments_.size() - 1;
  }
  virtual double when(std::size_t moment) { return moments_.at(moment); }

  /// Memory aligned to 64 bytes, all zeros already.
  virtual std::unique_ptr<Buffer> allocate(std::size_t bytes) = 0;
  virtual void copy_in(void* device, const void* host, std::size_t bytes) = 0;
  virtual void copy_out(void* host, const void* device, std::size_t bytes) = 0;
  /// Where host data that upload() is to read should live: pinned, where that lets a copy run beside the
  /// host. Any thread may use it; it must not outlive the backend.
  virtual std::pmr::memory_resource& host_memory() { return *std::pmr::new_delete_resource(); }
  /// Copies to the device beside what is queued there: memory that nothing queued may touch, host data that
  /// stay as they are until finish_uploads().
  virtual void upload(void* device, const void* host, std::size_t bytes) { copy_in(device, host, bytes); }
  /// What is queued from here on finds what was uploaded so far.
  virtual void await_uploads() {}
  /// Waits until all uploads are done.
  virtual void finish_uploads() {}
  virtual void clear(void* device, std::size_t bytes) = 0;  ///< to zeros
  /// Within device memory; the two do not overlap.
  virtual void copy(void* to, const void* from, std::size_t bytes) = 0;
  /// The same, of whole blocks to memory that others have in their caches and nobody reads soon.
  virtual void publish(void* to, const void* from, std::size_t bytes) { copy(to, from, bytes); }

  /// Something to look after while a long operation keeps the host busy: called now and then within it, by
  /// the thread that runs it; empty: nothing.
  virtual void meanwhile(std::function<void()>) {}

  // -- matrix products ---------------------------------------------------------------------------
  /// Told within a product how many rows of c, from the first on, are complete.
  using RowsDone = std::function<void(std::int64_t rows)>;
  /// c (+)= op(a) op(b), op = transpose where asked. Accumulates in float32. `so_far` may be called between
  /// parts of a large product, by the thread that runs it, and must not multiply.
  virtual void matmul(Operand a, bool transpose_a, Operand b, bool transpose_b, Matrix c, bool accumulate,
                      const RowsDone& so_far = {}) = 0;
  /// To bfloat16 or float16, nearest even. What is too large for float16 becomes infinite.
  virtual void to_half(std::uint16_t* to, const real* from, std::int64_t n, Precision half) = 0;

  // -- layers ------------------------------------------------------------------------------------
  /// y = act(y + bias) row by row, in place; slope = act' unless it is null.
  virtual void bias_activation(Matrix y, const real* bias, Activation act, real* slope) = 0;
  /// dy *= slope (unless null), in place; bias_grad (+)= column sums of dy.
  virtual void activation_backward(Matrix dy, const real* slope, real* bias_grad, bool accumulate) = 0;
  /// y = (x - mean) * rstd * gain + bias per row; normalised and rstd are kept for backward. x + residual
  /// takes the place of x unless residual is null. Ba, Kiros and Hinton, "Layer normalization" (2016);
  /// variance over n, epsilon 1e-5.
  virtual void layer_norm(Matrix x, const real* residual, const real* gain, const real* bias, Matrix y,
                          Matrix normalised, real* rstd) = 0;
  virtual void layer_norm_backward(Matrix dy, Matrix normalised, const real* rstd, const real* gain,
                                   Matrix dx, real* gain_grad, real* bias_grad, bool accumulate) = 0;
  /// mask = 0 with probability p, else 1 / (1 - p); y = x * mask (y may be x). The number for row r, column
  /// c is element (first_row + r, c) of `stream`.
  virtual void dropout(Matrix x, Matrix y, real* mask, real p, const RandomStream& stream,
                       std::int64_t first_row) = 0;
  virtual void multiply(Matrix y, const real* x) = 0;  ///< y *= x, element by element
  virtual void add(Matrix y, const real* x) = 0;       ///< y += x
  virtual void scale(Matrix y, real factor) = 0;       ///< y *= factor
  /// to[:, at:at+from.cols] = from, or the reverse when `gather`.
  virtual void copy_columns(Matrix wide, std::int64_t at, Matrix narrow, bool gather) = 0;
  /// y[r, i*dim:(i+1)*dim] = table[ids[r, i]]; ids are whole numbers. Throws Error for an id outside, here or
  /// in the next check_ids().
  virtual void embedding(Matrix ids, Matrix table, Matrix y) = 0;
  /// table_grad (+)= dy, added row by row in order.
  virtual void embedding_backward(Matrix ids, Matrix dy, Matrix table_grad, bool accumulate) = 0;
  /// Throws Error for an id outside that an embedding since the last call was given; call it once a step,
  /// before anything follows from it. Nothing to do where embedding() throws at once.
  virtual void check_ids() {}
  /// taps[b*T+t, k*C+c] = x[b*T + t - (taps-1-k)*dilation, c], 0 before the beginning.
  virtual void gather_taps(Matrix x, ConvShape shape, Matrix taps) = 0;
  virtual void scatter_taps(Matrix dtaps, ConvShape shape, Matrix dx) = 0;  ///< the transpose of gather_taps

  // -- losses ------------------------------------------------------------------------------------
  /// Per row: losses[r] = sum over columns h of weights[r,h] * (prediction[r,h] - target[r,h])^2, gradient
  /// times `scale`. All [rows, H].
  virtual void squared_loss(Matrix prediction, Matrix target, Matrix weights, real scale, double* losses,
                            Matrix gradient) = 0;
  /// Pinball loss (Koenker and Bassett, "Regression quantiles", 1978): prediction is [rows, H * Q] with the
  /// quantiles innermost; losses[r] = sum over h, q of weights[r,h] * max(q e, (q - 1) e), e = target -
  /// prediction.
  virtual void pinball_loss(Matrix prediction, Matrix target, Matrix weights,
                            std::span<const double> quantiles, real scale, double* losses,
                            Matrix gradient) = 0;

  // -- exchange and optimizer, on whole arenas of n = blocks * kBlock values -------------------------
  /// q becomes rint(g * scales[block]) (g may be q's memory), or, where q holds integers, is added to, or,
  /// where it holds float32 values v, becomes rint(v * scales[block]) + rint(g * scales[block]).
  /// max_bits[block] grows to the largest bits of |g| and |v|. Unless it is null, checksums[block] = q's
  /// (kChecksumPrime).
  virtual void quantise(std::uint32_t* q, const real* g, std::int64_t blocks, const float* scales, Held held,
                        std::uint32_t* max_bits, std::uint32_t* checksums) = 0;
  /// The same checksums of what is there.
  virtual void checksum(const std::uint32_t* q, std::int64_t blocks, std::uint32_t* checksums) = 0;
  /// Sum of squares of every block, in one fixed order within a block.
  virtual void block_squares(GradientView g, std::int64_t blocks, double* squares) = 0;
  /// One pass; block_decay[block] is 0 or 1 and multiplies the weight decay. Unless it is null, `seen` takes
  /// what the arenas held before (kSeenFactor).
  virtual void adamw(real* w, real* m, real* v, GradientView g, std::int64_t blocks, const float* block_decay,
                     AdamWStep step, std::uint32_t* seen) = 0;
  virtual void sgd(real* w, real* momentum, GradientView g, std::int64_t blocks, const float* block_decay,
                   float rate, float beta, float decay, std::uint32_t* seen) = 0;
  virtual void average(real* average, const real* w, std::int64_t n, float decay) = 0;

 private:
  std::vector<double> moments_;  // where calls are done when they return
};

/// By the names that `train.precision` has.
Precision precision_of(const std::string& name);

/// What `device.*` says.
struct DeviceOptions {
  std::string kind = "auto";  ///< auto, cpu or cuda
  std::int64_t threads = 1;
  void visit(class Fields& fields);
};

/// Is a kind usable here? An empty text means yes, else why not, in words for a user.
std::string why_not(const std::string& kind);
/// The backend of a kind; "auto" takes the best that is usable and writes it back to `options.kind`. Ranks of
/// one host take a GPU each, by their local rank.
std::unique_ptr<Backend> make_backend(DeviceOptions& options, int local_rank = 0, int local_size = 1);

}  // namespace rondo
