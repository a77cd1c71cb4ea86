// cuBLAS, loaded when a card is taken: linked, it would cost every start on a machine without one a tenth of
// a second and 200 MiB of mapped files.
#pragma once

#include <cublas_v2.h>

#include <string>

namespace rondo {

struct CublasLibrary {
  decltype(&cublasCreate_v2) create;
  decltype(&cublasDestroy_v2) destroy;
  decltype(&cublasSetStream_v2) set_stream;
  decltype(&cublasSetWorkspace_v2) set_workspace;
  decltype(&cublasSetAtomicsMode) set_atomics_mode;
  // cublasGemmEx, spelt out because the header overloads it.
  cublasStatus_t (*gemm)(cublasHandle_t, cublasOperation_t, cublasOperation_t, int m, int n, int k,
                         const void* alpha, const void* a, cudaDataType, int lda, const void* b, cudaDataType,
                         int ldb, const void* beta, void* c, cudaDataType, int ldc, cublasComputeType_t,
                         cublasGemmAlgo_t);
  decltype(&cublasGetVersion_v2) get_version;
  decltype(&cublasGetProperty) get_property;
  decltype(&cublasGetStatusString) status_string;
};

/// Loads it at the first call; throws InputError where that is not possible.
const CublasLibrary& cublas();
/// Why it cannot be loaded; empty if it can.
const std::string& cublas_problem();

}  // namespace rondo
