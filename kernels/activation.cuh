// Activations with their slopes, by the formulas of the CPU's loops: polynomials with explicit fma and IEEE
// division instead of the library's exp and erf, whose bits change with the toolkit.
#pragma once

#include "rondo/device/simd.hpp"

namespace rondo::kernels {

struct ValueSlope {
  float value, slope;
};

// e^x for x <= 88, relative error below 2e-7: x = k ln 2 + r with |r| <= ln 2 / 2 (Cody and Waite, "Software
// manual for the elementary functions", 1980), e^r by its Taylor polynomial of degree 7.
__device__ inline float exp_of(float x) {
  x = x > -87.0f ? x : -87.0f;
  x = x < 88.0f ? x : 88.0f;
  const float k = rintf(x * 1.44269504f);
  float r = __fmaf_rn(k, -0.693359375f, x);
  r = __fmaf_rn(k, 2.12194440e-4f, r);
  float p = 1.98412698e-4f;
  p = __fmaf_rn(p, r, 1.38888889e-3f);
  p = __fmaf_rn(p, r, 8.33333333e-3f);
  p = __fmaf_rn(p, r, 4.16666667e-2f);
  p = __fmaf_rn(p, r, 1.66666667e-1f);
  p = __fmaf_rn(p, r, 0.5f);
  p = __fmaf_rn(p, r, 1.0f);
  p = __fmaf_rn(p, r, 1.0f);
  return p * __uint_as_float(static_cast<unsigned>(static_cast<int>(k) + 127) << 23);
}

// x * Phi(x) (Hendrycks and Gimpel, "Gaussian error linear units", 2016) with erf of Abramowitz and Stegun
// 7.1.26 (error at most 1.5e-7): its exponential is also the density in the derivative Phi(x) + x phi(x).
__device__ inline ValueSlope gelu_of(float x) {
  const float z = fabsf(x) * 0.707106781f;
  const float e = exp_of(-0.5f * x * x);
  const float t = 1.0f / __fmaf_rn(0.3275911f, z, 1.0f);
  float p = 1.061405429f;
  p = __fmaf_rn(p, t, -1.453152027f);
  p = __fmaf_rn(p, t, 1.421413741f);
  p = __fmaf_rn(p, t, -0.284496736f);
  p = __fmaf_rn(p, t, 0.254829592f);
  const float tail = 0.5f * p * t * e;  // 1 - Phi(|x|)
  const float cdf = x < 0.0f ? tail : 1.0f - tail;
  return {x * cdf, __fmaf_rn(x * 0.398942280f, e, cdf)};
}

__device__ inline ValueSlope silu_of(float x) {
  const float e = exp_of(-x);
  const float s = 1.0f / (1.0f + e);
  return {x * s, __fmaf_rn(x * s, e * s, s)};  // e * s = 1 - s without the cancellation
}

// A NaN stays one: hidden, it would come back as weights that quietly stop learning.
__device__ inline ValueSlope activate(Activation act, float x) {
  switch (act) {
    case Activation::relu:
      return {x < 0.0f ? 0.0f : x, x > 0.0f ? 1.0f : 0.0f};
    case Activation::gelu:
      return gelu_of(x);
    case Activation::silu:
      return silu_of(x);
    default:
      return {x, 1.0f};
  }
}

}  // namespace rondo::kernels
