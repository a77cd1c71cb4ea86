// Matrix products by cuBLAS.
#pragma once

#include <string>

#include "memory.hpp"
#include "rondo/device/tensor.hpp"

struct cublasContext;  // without its header, which names a type `half`

namespace rondo {

class Products {
 public:
  explicit Products(const Stream& stream);  ///< on the calling thread's card
  ~Products();
  Products(const Products&) = delete;
  Products& operator=(const Products&) = delete;

  /// c (+)= op(a) op(b) of row-major matrices; none of the three is empty.
  void run(Operand a, bool transpose_a, Operand b, bool transpose_b, Matrix c, bool accumulate);
  std::string version() const;

 private:
  const Stream& stream_;
  Memory workspace_;
  cublasContext* handle_ = nullptr;
};

/// Empty if cuBLAS can be loaded, else the reason.
std::string why_not_cublas();

}  // namespace rondo
