// A drop-in for the part of libcublas that a trainer calls: every product becomes an operation on the
// simulated stream.
#include <cublas_v2.h>

#include <cstring>
#include <string>
#include <vector>

#include "cublas/product.hpp"
#include "runtime/enqueue.h"

struct cublasContext {
  cudaStream_t stream = nullptr;
  cublasMath_t math = CUBLAS_DEFAULT_MATH;
  cublasAtomicsMode_t atomics = CUBLAS_ATOMICS_NOT_ALLOWED;
  cublasPointerMode_t pointers = CUBLAS_POINTER_MODE_HOST;
};

namespace gpusim {
namespace {

int run(void* argument) {
  const Product& p = *static_cast<const Product*>(argument);
  auto bytes = [](const Matrix& m, long long stride, int batch) {
    return static_cast<char*>(gpusim_bytes(m.data)) +
           static_cast<size_t>(stride * batch) * element_size(m.type);
  };
  for (int batch = 0; batch < p.batches; ++batch)
    multiply(p, bytes(p.a, p.a_stride, batch), bytes(p.b, p.b_stride, batch), bytes(p.c, p.c_stride, batch));
  return 1;
}
void destroy(void* argument) { delete static_cast<Product*>(argument); }

// Only the columns themselves: what lies between them belongs to somebody else.
void add_ranges(std::vector<gpusim_range>& ranges, const Matrix& m, long long stride, int batches,
                int write) {
  size_t size = element_size(m.type);
  if (m.rows == 0 || m.cols == 0) return;
  for (int batch = 0; batch < batches; ++batch) {
    const char* begin = static_cast<const char*>(m.data) + static_cast<size_t>(stride * batch) * size;
    size_t column = static_cast<size_t>(m.rows) * size, pitch = static_cast<size_t>(m.ld) * size;
    if (m.rows == m.ld)
      ranges.push_back({begin, column * static_cast<size_t>(m.cols), write, 1, 0});
    else
      ranges.push_back({begin, column, write, static_cast<size_t>(m.cols), pitch});
  }
}

cublasStatus_t enqueue(cublasHandle_t handle, const Product& p, const char* name) {
  if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (handle->pointers != CUBLAS_POINTER_MODE_HOST) return CUBLAS_STATUS_NOT_SUPPORTED;
  for (const Matrix* m : {&p.a, &p.b, &p.c}) {
    if (element_size(m->type) == 0) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (m->ld < std::max(1, m->rows) || m->rows < 0 || m->cols < 0) return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (p.m == 0 || p.n == 0 || p.batches == 0) return CUBLAS_STATUS_SUCCESS;
  std::vector<gpusim_range> ranges;
  if (p.alpha != 0) {
    add_ranges(ranges, p.a, p.a_stride, p.batches, 0);
    add_ranges(ranges, p.b, p.b_stride, p.batches, 0);
  }
  if (p.beta != 0) add_ranges(ranges, p.c, p.c_stride, p.batches, 0);
  add_ranges(ranges, p.c, p.c_stride, p.batches, 1);
  cudaError_t error =
      gpusim_enqueue(handle->stream, name, ranges.data(), ranges.size(), run, new Product(p), destroy);
  return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

Product product(cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k, const void* alpha,
                const void* a, cudaDataType a_type, int lda, const void* b, cudaDataType b_type, int ldb,
                const void* beta, void* c, cudaDataType c_type, int ldc) {
  bool at = ta != CUBLAS_OP_N, bt = tb != CUBLAS_OP_N;
  return {{const_cast<void*>(a), a_type, at ? k : m, at ? m : k, lda, at},
          {const_cast<void*>(b), b_type, bt ? n : k, bt ? k : n, ldb, bt},
          {c, c_type, m, n, ldc, false},
          m,
          n,
          k,
          *static_cast<const float*>(alpha),
          *static_cast<const float*>(beta)};
}

bool computes_in_float(cublasComputeType_t compute) {
  return compute == CUBLAS_COMPUTE_32F || compute == CUBLAS_COMPUTE_32F_PEDANTIC ||
         compute == CUBLAS_COMPUTE_32F_FAST_16BF || compute == CUBLAS_COMPUTE_32F_FAST_TF32 ||
         compute == CUBLAS_COMPUTE_32F_FAST_16F;
}

}  // namespace
}  // namespace gpusim

using namespace gpusim;

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices < 1) return CUBLAS_STATUS_NOT_INITIALIZED;
  *handle = new cublasContext;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGetStream_v2(cublasHandle_t handle, cudaStream_t* stream) {
  *stream = handle->stream;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t, void*, size_t) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
  handle->math = mode;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGetMathMode(cublasHandle_t handle, cublasMath_t* mode) {
  *mode = handle->math;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetAtomicsMode(cublasHandle_t handle, cublasAtomicsMode_t mode) {
  handle->atomics = mode;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGetAtomicsMode(cublasHandle_t handle, cublasAtomicsMode_t* mode) {
  *mode = handle->atomics;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetPointerMode_v2(cublasHandle_t handle, cublasPointerMode_t mode) {
  handle->pointers = mode;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGetVersion_v2(cublasHandle_t, int* version) {
  *version = CUBLAS_VERSION;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGetProperty(libraryPropertyType which, int* value) {
  *value = which == MAJOR_VERSION   ? CUBLAS_VER_MAJOR
           : which == MINOR_VERSION ? CUBLAS_VER_MINOR
                                    : CUBLAS_VER_PATCH;
  return CUBLAS_STATUS_SUCCESS;
}
const char* cublasGetStatusString(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "the function completed successfully";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "the library was not initialized";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "an unsupported value or parameter was passed to the function";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "the simulated cuBLAS does not support this";
    default:
      return "the operation failed";
  }
}
const char* cublasGetStatusName(cublasStatus_t status) {
  return status == CUBLAS_STATUS_SUCCESS ? "CUBLAS_STATUS_SUCCESS" : "CUBLAS_STATUS_EXECUTION_FAILED";
}

cublasStatus_t cublasSgemm_v2(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb, int m, int n,
                              int k, const float* alpha, const float* a, int lda, const float* b, int ldb,
                              const float* beta, float* c, int ldc) {
  return enqueue(
      handle,
      product(ta, tb, m, n, k, alpha, a, CUDA_R_32F, lda, b, CUDA_R_32F, ldb, beta, c, CUDA_R_32F, ldc),
      "cublasSgemm");
}
cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb,
                                         int m, int n, int k, const float* alpha, const float* a, int lda,
                                         long long a_stride, const float* b, int ldb, long long b_stride,
                                         const float* beta, float* c, int ldc, long long c_stride,
                                         int batches) {
  Product p =
      product(ta, tb, m, n, k, alpha, a, CUDA_R_32F, lda, b, CUDA_R_32F, ldb, beta, c, CUDA_R_32F, ldc);
  p.batches = batches;
  p.a_stride = a_stride;
  p.b_stride = b_stride;
  p.c_stride = c_stride;
  return enqueue(handle, p, "cublasSgemmStridedBatched");
}
cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb, int m, int n,
                            int k, const void* alpha, const void* a, cudaDataType a_type, int lda,
                            const void* b, cudaDataType b_type, int ldb, const void* beta, void* c,
                            cudaDataType c_type, int ldc, cublasComputeType_t compute, cublasGemmAlgo_t) {
  if (!computes_in_float(compute)) return CUBLAS_STATUS_NOT_SUPPORTED;
  Product p = product(ta, tb, m, n, k, alpha, a, a_type, lda, b, b_type, ldb, beta, c, c_type, ldc);
  p.tf32 = compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  return enqueue(handle, p, "cublasGemmEx");
}
cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb,
                                          int m, int n, int k, const void* alpha, const void* a,
                                          cudaDataType a_type, int lda, long long a_stride, const void* b,
                                          cudaDataType b_type, int ldb, long long b_stride, const void* beta,
                                          void* c, cudaDataType c_type, int ldc, long long c_stride,
                                          int batches, cublasComputeType_t compute, cublasGemmAlgo_t) {
  if (!computes_in_float(compute)) return CUBLAS_STATUS_NOT_SUPPORTED;
  Product p = product(ta, tb, m, n, k, alpha, a, a_type, lda, b, b_type, ldb, beta, c, c_type, ldc);
  p.batches = batches;
  p.a_stride = a_stride;
  p.b_stride = b_stride;
  p.c_stride = c_stride;
  return enqueue(handle, p, "cublasGemmStridedBatchedEx");
}

}  // extern "C"
