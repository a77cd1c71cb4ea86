// This test is linked against cuBLAS, the program loads it: both come to the same functions, so the name of
// the library and of each symbol, and their types, are right.
#include "catch.hpp"
#include "cublas_library.hpp"

using namespace rondo;

TEST_CASE("what is loaded at run time is what a linker finds") {
  const CublasLibrary linked{.create = cublasCreate_v2,
                             .destroy = cublasDestroy_v2,
                             .set_stream = cublasSetStream_v2,
                             .set_workspace = cublasSetWorkspace_v2,
                             .set_atomics_mode = cublasSetAtomicsMode,
                             .gemm = cublasGemmEx,
                             .get_version = cublasGetVersion_v2,
                             .get_property = cublasGetProperty,
                             .status_string = cublasGetStatusString};
  REQUIRE(cublas_problem() == "");
  const CublasLibrary& loaded = cublas();
  CHECK(loaded.create == linked.create);
  CHECK(loaded.destroy == linked.destroy);
  CHECK(loaded.set_stream == linked.set_stream);
  CHECK(loaded.set_workspace == linked.set_workspace);
  CHECK(loaded.set_atomics_mode == linked.set_atomics_mode);
  CHECK(loaded.gemm == linked.gemm);
  CHECK(loaded.get_version == linked.get_version);
  CHECK(loaded.get_property == linked.get_property);
  CHECK(loaded.status_string == linked.status_string);
}
