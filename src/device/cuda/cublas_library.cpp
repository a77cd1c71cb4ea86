#include "cublas_library.hpp"

#include <dlfcn.h>

#include <type_traits>

#include "rondo/core/error.hpp"

namespace rondo {
namespace {

struct Loaded {
  CublasLibrary library{};
  std::string problem;

  Loaded() {
    const std::string name = fmt::format("libcublas.so.{}", CUBLAS_VER_MAJOR);
    void* handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);  // for the rest of the process
    if (handle == nullptr) {
      problem = fmt::format("cuBLAS cannot be loaded: {}", dlerror());
      return;
    }
    const auto find = [&](auto& function, const char* symbol) {
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(handle, symbol));
      if (function == nullptr) problem = fmt::format("{} has no {}", name, symbol);
    };
    find(library.create, "cublasCreate_v2");
    find(library.destroy, "cublasDestroy_v2");
    find(library.set_stream, "cublasSetStream_v2");
    find(library.set_workspace, "cublasSetWorkspace_v2");
    find(library.set_atomics_mode, "cublasSetAtomicsMode");
    find(library.gemm, "cublasGemmEx");
    find(library.get_version, "cublasGetVersion_v2");
    find(library.get_property, "cublasGetProperty");
    find(library.status_string, "cublasGetStatusString");
  }
};

const Loaded& loaded() {
  static const Loaded once;
  return once;
}

}  // namespace

const CublasLibrary& cublas() {
  if (!loaded().problem.empty()) throw InputError(loaded().problem);
  return loaded().library;
}
const std::string& cublas_problem() { return loaded().problem; }

}  // namespace rondo
