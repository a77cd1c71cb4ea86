// A backend that computes in double precision by the formulas of reference_ops.hpp. Only for programs whose
// `real` is double.
#pragma once

#include <cstring>

#include "rondo/device/backend.hpp"

namespace rondo {

class ReferenceBackend : public Backend {
 public:
  /// Distance to the nearest point without a derivative (of ReLU or the pinball loss) that was met since
  /// this was last set.
  double nearest_kink = 1e300;

  std::string name() const override { return "reference"; }
  std::string numerics() override { return "reference"; }
  bool reads_host_memory() const override { return true; }
  std::unique_ptr<Buffer> allocate(std::size_t bytes) override;
  void copy_in(void* device, const void* host, std::size_t bytes) override;
  void copy_out(void* host, const void* device, std::size_t bytes) override;
  void clear(void* to, std::size_t bytes) override { std::memset(to, 0, bytes); }
  void copy(void* to, const void* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }

  void matmul(Operand a, bool transpose_a, Operand b, bool transpose_b, Matrix c, bool accumulate,
              const RowsDone& so_far) override;
  std::string why_not(Precision) override { return ""; }
  void to_half(std::uint16_t* to, const real* from, std::int64_t n, Precision) override;  ///< bfloat16
  void bias_activation(Matrix y, const real* bias, Activation act, real* slope) override;
  void activation_backward(Matrix dy, const real* slope, real* bias_grad, bool accumulate) override;
  void layer_norm(Matrix x, const real* residual, const real* gain, const real* bias, Matrix y,
                  Matrix normalised, real* rstd) override;
  void layer_norm_backward(Matrix dy, Matrix normalised, const real* rstd, const real* gain, Matrix dx,
                           real* gain_grad, real* bias_grad, bool accumulate) override;
  void dropout(Matrix x, Matrix y, real* mask, real p, const RandomStream& stream,
               std::int64_t first_row) override;
  void multiply(Matrix y, const real* x) override;
  void add(Matrix y, const real* x) override;
  void scale(Matrix y, real factor) override;
  void copy_columns(Matrix wide, std::int64_t at, Matrix narrow, bool gather) override;
  void embedding(Matrix ids, Matrix table, Matrix y) override;
  void embedding_backward(Matrix ids, Matrix dy, Matrix table_grad, bool accumulate) override;
  void gather_taps(Matrix x, ConvShape shape, Matrix taps) override;
  void scatter_taps(Matrix dtaps, ConvShape shape, Matrix dx) override;
  void squared_loss(Matrix prediction, Matrix target, Matrix weights, real scale, double* losses,
                    Matrix gradient) override;
  void pinball_loss(Matrix prediction, Matrix target, Matrix weights, std::span<const double> quantiles,
                    real scale, double* losses, Matrix gradient) override;
  void quantise(std::uint32_t* q, const real* g, std::int64_t blocks, const float* scales, Held held,
                std::uint32_t* max_bits, std::uint32_t* checksums) override;
  void checksum(const std::uint32_t* q, std::int64_t blocks, std::uint32_t* checksums) override;
  void block_squares(GradientView g, std::int64_t blocks, double* squares) override;
  void adamw(real* w, real* m, real* v, GradientView g, std::int64_t blocks, const float* block_decay,
             AdamWStep step, std::uint32_t* seen) override;
  void sgd(real* w, real* momentum, GradientView g, std::int64_t blocks, const float* block_decay, float rate,
           float beta, float decay, std::uint32_t* seen) override;
  void average(real* average, const real* w, std::int64_t n, float decay) override;
};

}  // namespace rondo
