// Backend on one NVIDIA card: cuBLAS for matrix products, the kernels of kernels/ for the rest.
//
// All work is queued on one stream, in order, but for uploads, which have their own; the host waits only
// where it needs a result (copy_out, check_ids). Used by the thread that made it.
#pragma once

#include "memory.hpp"
#include "products.hpp"
#include "rondo/device/backend.hpp"
#include "staging.hpp"

namespace rondo {

class CudaBackend : public Backend {
 public:
  explicit CudaBackend(int device);
  ~CudaBackend() override;

  std::string name() const override { return "cuda"; }
  std::string numerics() override;
  bool reads_host_memory() const override { return false; }
  void* stream() override { return stream_; }
  std::string why_not(Precision precision) override;
  double peak_flops(Precision operands) override;
  void restart_clock() override;
  std::size_t moment(void* stream) override;
  double when(std::size_t moment) override;
  std::unique_ptr<Buffer> allocate(std::size_t bytes) override;
  void copy_in(void* device, const void* host, std::size_t bytes) override;
  void copy_out(void* host, const void* device, std::size_t bytes) override;
  std::pmr::memory_resource& host_memory() override { return host_memory_; }
  void upload(void* device, const void* host, std::size_t bytes) override;
  void await_uploads() override;
  void finish_uploads() override { uploads_.wait(); }
  void clear(void* device, std::size_t bytes) override;
  void copy(void* to, const void* from, std::size_t bytes) override;

  void matmul(Operand a, bool transpose_a, Operand b, bool transpose_b, Matrix c, bool accumulate,
              const RowsDone& so_far) override;
  void to_half(std::uint16_t* to, const real* from, std::int64_t n, Precision half) override;

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
  void check_ids() override;
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

 private:
  float* column_scratch(const Matrix& m);

  cudaDeviceProp card_;
  Stream stream_;
  Products products_;
  Stream uploads_;
  Event uploaded_;
  Event anchor_{Event::Kind::timed};  // was reached when now_s() was anchored_at_
  double anchored_at_ = 0;
  std::vector<std::unique_ptr<Event>> moments_;  // kept, those before moments_noted_ are in use
  std::size_t moments_noted_ = 0;
  PinnedMemory host_memory_;
  Staging copied_, quantiles_;  // tables of a step, the quantiles of the last loss
  std::vector<float> last_quantiles_;
  const float* quantiles_on_card_ = nullptr;
  PinnedResult first_wrong_;                 // see kernels/embedding.cu
  std::vector<std::int64_t> embedded_rows_;  // of the table of each embedding since check_ids
  Memory scratch_{Memory::Kind::device}, results_{Memory::Kind::pinned};
};

}  // namespace rondo
