#include "profiler_ranges.hpp"

#include <nvtx3/nvToolsExt.h>

#include <string>

#include "rondo/core/phase.hpp"

namespace rondo {
namespace {

nvtxDomainHandle_t domain = nullptr;  // null: nobody listens

nvtxEventAttributes_t named(const char* name, std::int64_t number) {
  nvtxEventAttributes_t event{};
  event.version = NVTX_VERSION;
  event.size = NVTX_EVENT_ATTRIB_STRUCT_SIZE;
  event.messageType = NVTX_MESSAGE_TYPE_ASCII;
  event.message.ascii = name;
  event.payloadType = NVTX_PAYLOAD_TYPE_INT64;
  event.payload.llValue = number;
  return event;
}

void push(const std::string& name, std::int64_t number) {
  const nvtxEventAttributes_t event = named(name.c_str(), number);
  nvtxDomainRangePushEx(domain, &event);
}

/// Called at each entry to a phase and at each bucket, by the thread that trains.
void hear() {
  static std::int64_t open_step = -1;
  static int bucket = 0;
  const Position at = Position::of(position_word());
  if (at.bucket > bucket) {
    const nvtxEventAttributes_t event = named("bucket", at.bucket);
    bucket = at.bucket;
    return nvtxDomainMarkEx(domain, &event);
  }
  bucket = at.bucket;
  if (open_step >= 0) nvtxDomainRangePop(domain);  // the phase
  if (at.step != open_step) {
    if (open_step >= 0) nvtxDomainRangePop(domain);
    push("step " + std::to_string(at.step), at.step);
    open_step = at.step;
  }
  push(std::string(name_of(at.phase)), at.step);
}

}  // namespace

void show_phases_to_profilers() {
  if (domain == nullptr && (domain = nvtxDomainCreateA("rondo")) != nullptr) on_entry(hear);
}

}  // namespace rondo
