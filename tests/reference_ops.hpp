// The operations of Backend in double precision, written from their definitions and not from the CPU
// backend: what the gradient checks run on and what backends are compared with.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "rondo/device/backend.hpp"

namespace rondo::reference {

/// A row-major [rows, cols] view of doubles.
struct Mat {
  double* data;
  std::int64_t rows, cols;
  std::int64_t size() const { return rows * cols; }
  double& operator()(std::int64_t r, std::int64_t c) const { return data[r * cols + c]; }
};

/// The number that a bfloat16 stands for, and the bfloat16 next to a number (ties to even).
double from_bfloat16(std::uint16_t half);
std::uint16_t to_bfloat16(float x);

/// The same for float16 (IEEE 754 binary16): beyond 65504 infinite.
double from_float16(std::uint16_t half);
std::uint16_t to_float16(float x);

/// act(z) and its derivative.
struct ValueSlope {
  double value, slope;
};
ValueSlope activate(Activation act, double z);

void matmul(Mat a, bool transpose_a, Mat b, bool transpose_b, Mat c, bool accumulate);
void bias_activation(Mat y, const double* bias, Activation act, double* slope);
void activation_backward(Mat dy, const double* slope, double* bias_grad, bool accumulate);
void layer_norm(Mat x, const double* gain, const double* bias, Mat y, Mat normalised, double* rstd);
void layer_norm_backward(Mat dy, Mat normalised, const double* rstd, const double* gain, Mat dx,
                         double* gain_grad, double* bias_grad, bool accumulate);
void dropout_mask(Mat mask, double p, const RandomStream& stream, std::int64_t first_row);
void copy_columns(Mat wide, std::int64_t at, Mat narrow, bool gather);
void embedding(Mat ids, Mat table, Mat y);
void embedding_backward(Mat ids, Mat dy, Mat table_grad, bool accumulate);
void gather_taps(Mat x, ConvShape shape, Mat taps);
void scatter_taps(Mat dtaps, ConvShape shape, Mat dx);
void squared_loss(Mat prediction, Mat target, Mat weights, double scale, double* losses, Mat gradient);
void pinball_loss(Mat prediction, Mat target, Mat weights, std::span<const double> quantiles, double scale,
                  double* losses, Mat gradient);

/// rint(g * scale), or -2^31 where that is no int32.
std::int32_t to_fixed(float g, float scale);
/// The bits of |g|.
std::uint32_t magnitude_bits(float g);
std::uint32_t checksum(std::span<const std::uint32_t> q);  ///< as kChecksumPrime says
std::uint32_t seal(std::span<const std::uint32_t> q);      ///< as seal_weight says
/// What the optimizer is to see: every gradient times its block's scale.
std::vector<double> scaled(GradientView g, std::int64_t blocks);
void block_squares(std::span<const double> g, double* squares);
void adamw(double* w, double* m, double* v, std::span<const double> g, const float* block_decay,
           const AdamWStep& step);
void sgd(double* w, double* momentum, std::span<const double> g, const float* block_decay, double rate,
         double beta, double decay);
void average(double* average, const double* w, std::int64_t n, double decay);

}  // namespace rondo::reference
