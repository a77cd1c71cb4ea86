// C = alpha op(A) op(B) + beta C by loops in a fixed order, in float32.
#pragma once

#include <library_types.h>

#include <cstddef>

namespace gpusim {

struct Matrix {
  void* data;  // a device pointer; column-major
  cudaDataType type;
  int rows, cols, ld;
  bool transposed;
};

struct Product {
  Matrix a, b, c;  // a and b as they are stored
  int m, n, k;
  float alpha, beta;
  bool tf32 = false;  // float32 operands lose all but 10 bits of their fraction
  int batches = 1;
  long long a_stride = 0, b_stride = 0, c_stride = 0;  // elements
};

size_t element_size(cudaDataType type);  // 0: not supported

// On the simulator's bytes of the matrices.
void multiply(const Product& p, const void* a, const void* b, void* c);

}  // namespace gpusim
