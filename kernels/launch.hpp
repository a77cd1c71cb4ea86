/// The launchers of the CUDA kernels: plain C++, for host code of any compiler.
///
/// Each queues its kernels on `stream` and returns at once; all pointers are device memory. A kernel that
/// cannot start shows in cudaGetLastError(). The file of a family says shapes, aliasing, order of sums and
/// cost. Matrices are row-major [rows, cols]; with no rows or columns nothing runs, but sums become 0.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "rondo/device/simd.hpp"
#include "rondo/device/tensor.hpp"

namespace rondo::kernels {

// -- elementwise.cu --------------------------------------------------------------------------------
void multiply(float* y, const float* x, std::int64_t n, cudaStream_t stream);
void add(float* y, const float* x, std::int64_t n, cudaStream_t stream);
void scale(float* y, std::int64_t n, float factor, cudaStream_t stream);
void average(float* mean, const float* x, std::int64_t n, float decay, cudaStream_t stream);
void copy_columns(float* wide, std::int64_t wide_cols, std::int64_t at, float* narrow, std::int64_t rows,
                  std::int64_t cols, bool gather, cudaStream_t stream);
/// To bfloat16 or float16.
void to_half(std::uint16_t* to, const float* from, std::int64_t n, Precision half, cudaStream_t stream);

// -- activation.cu ---------------------------------------------------------------------------------
void bias_activation(float* y, const float* bias, std::int64_t rows, std::int64_t cols, Activation act,
                     float* slope, cudaStream_t stream);
void activation_backward(float* dy, const float* slope, std::int64_t rows, std::int64_t cols,
                         float* bias_grad, bool accumulate, float* scratch, cudaStream_t stream);
/// Floats of scratch, aligned to 16 bytes, that activation_backward and layer_norm_backward need.
std::size_t column_scratch(std::int64_t rows, std::int64_t cols);

// -- layer_norm.cu ---------------------------------------------------------------------------------
void layer_norm(const float* x, const float* residual, const float* gain, const float* bias,
                std::int64_t rows, std::int64_t cols, float* y, float* normalised, float* rstd,
                cudaStream_t stream);
void layer_norm_backward(const float* dy, const float* normalised, const float* rstd, const float* gain,
                         std::int64_t rows, std::int64_t cols, float* dx, float* gain_grad, float* bias_grad,
                         bool accumulate, float* scratch, cudaStream_t stream);

// -- dropout.cu ------------------------------------------------------------------------------------
void dropout(const float* x, float* y, float* mask, std::int64_t rows, std::int64_t cols, float p,
             const RandomStream& random, std::int64_t first_row, cudaStream_t stream);

// -- embedding.cu ----------------------------------------------------------------------------------
/// `call`, `bad`: see there.
void embedding(const float* ids, std::int64_t n, const float* table, std::int64_t rows, std::int64_t dim,
               float* y, std::uint32_t call, unsigned long long* bad, cudaStream_t stream);
/// `keys`: scratch of embedding_keys(n) numbers. n < 2^32.
void embedding_backward(const float* ids, std::int64_t n, const float* dy, std::int64_t rows,
                        std::int64_t dim, float* table_grad, bool accumulate, std::uint64_t* keys,
                        cudaStream_t stream);
std::size_t embedding_keys(std::int64_t n);

// -- taps.cu ---------------------------------------------------------------------------------------
/// As ConvShape.
struct TapShape {
  std::int64_t batch, time, channels, taps, dilation;
};
void gather_taps(const float* x, TapShape shape, float* taps, cudaStream_t stream);
void scatter_taps(const float* dtaps, TapShape shape, float* dx, cudaStream_t stream);

// -- losses.cu -------------------------------------------------------------------------------------
void squared_loss(const float* prediction, const float* target, const float* weights, std::int64_t rows,
                  std::int64_t cols, float scale, double* losses, float* gradient, cudaStream_t stream);
void pinball_loss(const float* prediction, const float* target, const float* weights, std::int64_t rows,
                  std::int64_t cols, const float* quantiles, std::int64_t count, float scale, double* losses,
                  float* gradient, cudaStream_t stream);

// -- fixed_point.cu --------------------------------------------------------------------------------
void quantise(std::uint32_t* q, const float* g, std::int64_t blocks, const float* scales, Held held,
              std::uint32_t* max_bits, std::uint32_t* checksums, cudaStream_t stream);
void checksum(const std::uint32_t* q, std::int64_t blocks, std::uint32_t* checksums, cudaStream_t stream);
void block_squares(const float* values, const std::uint32_t* fixed, const float* block_scale,
                   std::int64_t blocks, double* squares, cudaStream_t stream);

// -- optimizer.cu ----------------------------------------------------------------------------------
void adamw(float* w, float* m, float* v, const float* values, const std::uint32_t* fixed,
           const float* block_scale, std::int64_t blocks, const float* block_decay, AdamWStep step,
           std::uint32_t* seen, cudaStream_t stream);
void sgd(float* w, float* momentum, const float* values, const std::uint32_t* fixed, const float* block_scale,
         std::int64_t blocks, const float* block_decay, float rate, float beta, float decay,
         std::uint32_t* seen, cudaStream_t stream);

}  // namespace rondo::kernels
