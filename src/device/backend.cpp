#include "rondo/device/backend.hpp"

#include <utility>

#include "cpu/cpu_backend.hpp"
#include "cuda.hpp"
#include "rondo/core/config.hpp"
#include "rondo/core/error.hpp"
#include "rondo/core/log.hpp"

namespace rondo {

void DeviceOptions::visit(Fields& fields) {
  fields.field("device.kind", kind, "auto|cpu|cuda", Effect::bits,
               "where arithmetic runs; auto is resolved at the start");
  fields.field("device.threads", threads, {1, 1024}, Effect::bits, "threads per rank for matrix products");
}

Precision precision_of(const std::string& name) {
  if (name == "float32") return Precision::float32;
  if (name == "tf32") return Precision::tf32;
  if (name == "bfloat16") return Precision::bfloat16;
  RONDO_CHECK(name == "float16", "no precision is called {}", name);
  return Precision::float16;
}

std::string why_not(const std::string& kind) { return kind == "cuda" ? why_not_cuda() : ""; }

std::unique_ptr<Backend> make_backend(DeviceOptions& options, int local_rank, int local_size) {
  if (options.kind == "auto") {
    const std::string reason = why_not("cuda");
    options.kind = reason.empty() ? "cuda" : "cpu";
    static bool said = false;  // benches make several
    if (built_with_cuda() && !reason.empty() && !std::exchange(said, true))
      say(fmt::format("device.kind = \"auto\" takes the cpu: {}", reason));
  }
  if (const std::string reason = why_not(options.kind); !reason.empty())
    input_error("device.kind = \"{}\": {}; use \"cpu\" or \"auto\"", options.kind, reason);
  if (options.kind == "cuda") return make_cuda_backend(local_rank, local_size);
  return std::make_unique<CpuBackend>(static_cast<int>(options.threads));
}

}  // namespace rondo
