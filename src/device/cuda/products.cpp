#include "products.hpp"

#include <limits>

#include "cublas_library.hpp"
#include "rondo/core/error.hpp"

namespace rondo {
namespace {

// What cuBLAS recommends for Hopper. The same on every card: the choice of algorithm may depend on it.
constexpr std::size_t kWorkspace = std::size_t{32} << 20;

void check(cublasStatus_t result, const char* what) {
  if (result == CUBLAS_STATUS_SUCCESS) return;
  throw Error(fmt::format("cuBLAS, {}: {}", what, cublas().status_string(result)));
}

struct How {
  cudaDataType type;
  cublasComputeType_t compute;
};

// Pedantic float32 is float32 whatever the environment says: no TF32, no emulation by bfloat16. Of halves it
// would only keep tensor cores away.
How how(Precision precision) {
  switch (precision) {
    case Precision::tf32:
      return {CUDA_R_32F, CUBLAS_COMPUTE_32F_FAST_TF32};
    case Precision::bfloat16:
      return {CUDA_R_16BF, CUBLAS_COMPUTE_32F};
    case Precision::float16:
      return {CUDA_R_16F, CUBLAS_COMPUTE_32F};
    default:
      return {CUDA_R_32F, CUBLAS_COMPUTE_32F_PEDANTIC};
  }
}

int narrow(std::int64_t n) {
  RONDO_CHECK(n <= std::numeric_limits<int>::max(), "a matrix of {} rows or columns is too large", n);
  return static_cast<int>(n);
}

}  // namespace

// A workspace of our own: with cuBLAS's pool, which algorithm runs may depend on what else does. The stream
// comes first, because setting it takes a workspace away. cuBLAS gives the same bits for the same version,
// kind of card and number of multiprocessors, as long as atomics are off (cuBLAS guide, "Results
// reproducibility").
Products::Products(const Stream& stream) : stream_(stream), workspace_(Memory::Kind::device, kWorkspace) {
  check(cublas().create(&handle_), "starting");
  check(cublas().set_stream(handle_, stream), "setting the stream");
  check(cublas().set_workspace(handle_, workspace_.data(), kWorkspace), "setting the workspace");
  check(cublas().set_atomics_mode(handle_, CUBLAS_ATOMICS_NOT_ALLOWED), "forbidding atomics");
}

Products::~Products() {
  if (handle_ != nullptr) cublas().destroy(handle_);
}

// cuBLAS reads columns first: to it a row-major [r, c] matrix is its own transpose, [c, r] with leading
// dimension c. So c^T = op(b)^T op(a)^T is asked for: operands change places, and each is transposed where it
// was.
void Products::run(Operand a, bool transpose_a, Operand b, bool transpose_b, Matrix c, bool accumulate) {
  const auto op = [](bool transpose) { return transpose ? CUBLAS_OP_T : CUBLAS_OP_N; };
  const auto [type, compute] = how(a.precision);
  const float alpha = 1, beta = accumulate ? 1 : 0;
  stream_.grouped();  // the handle has it
  check(
      cublas().gemm(handle_, op(transpose_b), op(transpose_a), narrow(c.cols), narrow(c.rows),
                    narrow(transpose_a ? a.rows : a.cols), &alpha, b.data, type, narrow(b.cols), a.data, type,
                    narrow(a.cols), &beta, c.data, CUDA_R_32F, narrow(c.cols), compute, CUBLAS_GEMM_DEFAULT),
      "multiplying matrices");
}

std::string Products::version() const {
  int version = 0;
  check(cublas().get_version(handle_, &version), "asking for the version");
  return fmt::format("cuBLAS {}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

std::string why_not_cublas() { return cublas_problem(); }

}  // namespace rondo
