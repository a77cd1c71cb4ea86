// Matrix products by oneDNN: the only file that knows it, and the difference between its versions 2 and 3.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "rondo/device/tensor.hpp"

namespace rondo {

class MatmulEngine {
 public:
  explicit MatmulEngine(int threads);
  ~MatmulEngine();
  /// Empty, or why this processor cannot.
  std::string why_not_bfloat16();
  /// A large product, unless b is transposed, is made in panels of its rows or columns, which follow from
  /// shapes alone; `between` is told between two of them how many rows of c, from the first on, are complete:
  /// 0 where panels are columns.
  void run(Operand a, bool transpose_a, Operand b, bool transpose_b, Matrix c, bool accumulate,
           const std::function<void(std::int64_t rows)>& between);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

std::string dnnl_version_text();
/// The instruction set that oneDNN will use (ONEDNN_MAX_CPU_ISA respected), e.g. "avx512_core_bf16".
std::string dnnl_isa_text();

}  // namespace rondo
