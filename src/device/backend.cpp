#include "rondo/device/backend.hpp"

#include "cpu/cpu_backend.hpp"
#include "rondo/core/config.hpp"
#include "rondo/core/error.hpp"

namespace rondo {

void DeviceOptions::visit(Fields& fields) {
  fields.field("device.kind", kind, "auto|cpu|cuda", Effect::bits,
               "where arithmetic runs; auto is resolved at the start");
  fields.field("device.threads", threads, {1, 1024}, Effect::bits, "threads per rank for matrix products");
}

std::string why_not(const std::string& kind) {
  return kind == "cuda" ? "this build has no CUDA backend" : "";
}

std::unique_ptr<Backend> make_backend(DeviceOptions& options) {
  if (options.kind == "auto") options.kind = why_not("cuda").empty() ? "cuda" : "cpu";
  if (const std::string reason = why_not(options.kind); !reason.empty())
    input_error("device.kind = \"{}\": {}; use \"cpu\" or \"auto\"", options.kind, reason);
  return std::make_unique<CpuBackend>(static_cast<int>(options.threads));
}

}  // namespace rondo
