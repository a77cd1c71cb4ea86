#include "cublas/product.hpp"

#include <bit>
#include <cstring>
#include <vector>

#include "interp/half.hpp"

namespace gpusim {

size_t element_size(cudaDataType type) {
  return type == CUDA_R_32F ? 4 : type == CUDA_R_16BF || type == CUDA_R_16F ? 2 : 0;
}

namespace {

float element(const void* data, cudaDataType type, size_t at) {
  if (type == CUDA_R_32F) return static_cast<const float*>(data)[at];
  uint16_t h = static_cast<const uint16_t*>(data)[at];
  return type == CUDA_R_16BF ? from_bfloat(h) : from_half(h);
}

void put(void* data, cudaDataType type, size_t at, float value) {
  if (type == CUDA_R_32F)
    static_cast<float*>(data)[at] = value;
  else
    static_cast<uint16_t*>(data)[at] = type == CUDA_R_16BF ? to_bfloat(value, false) : to_half(value, false);
}

// 10 bits of fraction, to nearest; a card's unit may do otherwise with ties.
float rounded_to_tf32(float x) {
  auto bits = std::bit_cast<uint32_t>(x);
  if ((bits & 0x7f800000) != 0x7f800000) bits = (bits + 0x0fff + (bits >> 13 & 1)) & ~0x1fffu;
  return std::bit_cast<float>(bits);
}

// op(M) as float32, column-major without gaps.
std::vector<float> unfolded(const Matrix& m, const void* data, bool tf32) {
  size_t rows = static_cast<size_t>(m.rows), cols = static_cast<size_t>(m.cols),
         ld = static_cast<size_t>(m.ld);
  std::vector<float> out(rows * cols);
  for (size_t c = 0; c < cols; ++c)
    for (size_t r = 0; r < rows; ++r)
      out[m.transposed ? r * cols + c : c * rows + r] = element(data, m.type, c * ld + r);
  if (tf32)
    for (float& x : out) x = rounded_to_tf32(x);
  return out;
}

}  // namespace

void multiply(const Product& p, const void* a_data, const void* b_data, void* c_data) {
  size_t m = static_cast<size_t>(p.m), n = static_cast<size_t>(p.n), k = static_cast<size_t>(p.k);
  std::vector<float> a = unfolded(p.a, a_data, p.tf32), b = unfolded(p.b, b_data, p.tf32), column(m);
  for (size_t j = 0; j < n; ++j) {
    std::fill(column.begin(), column.end(), 0.0f);
    for (size_t l = 0; l < k; ++l) {
      float factor = b[j * k + l];
      const float* from = a.data() + l * m;
      for (size_t i = 0; i < m; ++i) column[i] += from[i] * factor;
    }
    for (size_t i = 0; i < m; ++i) {
      size_t at = j * static_cast<size_t>(p.c.ld) + i;
      float value = p.alpha * column[i];
      if (p.beta != 0) value += p.beta * element(c_data, p.c.type, at);  // else C may hold anything, NaN too
      put(c_data, p.c.type, at, value);
    }
  }
}

}  // namespace gpusim
