// Stands where a profiler would: NVTX_INJECTION64_PATH names this library, and it writes the ranges and marks
// that it hears, one a line, to the file NVTX_HEARD.
#include <nvtx3/nvToolsExt.h>

#include <cstdio>
#include <cstdlib>

namespace {

std::FILE* heard() {
  static std::FILE* const file = std::fopen(std::getenv("NVTX_HEARD"), "w");
  return file;
}

int tell(const char* what, const nvtxEventAttributes_t* event) {
  std::fprintf(heard(), "%s %s %lld\n", what, event->message.ascii,
               static_cast<long long>(event->payload.llValue));
  return 0;
}

nvtxDomainHandle_t NVTX_API create(const char* name) {
  std::fprintf(heard(), "domain %s\n", name);
  static int domain;
  return reinterpret_cast<nvtxDomainHandle_t>(&domain);
}
void NVTX_API mark(nvtxDomainHandle_t, const nvtxEventAttributes_t* event) { tell("mark", event); }
int NVTX_API push(nvtxDomainHandle_t, const nvtxEventAttributes_t* event) { return tell("push", event); }
int NVTX_API pop(nvtxDomainHandle_t) {
  std::fprintf(heard(), "pop\n");
  return 0;
}

template <class Function>
void take(NvtxFunctionTable table, NvtxCallbackIdCore2 id, Function* function) {
  *table[id] = reinterpret_cast<NvtxFunctionPointer>(function);
}

}  // namespace

/// What NVTX calls when it is first used. 1: this library listens.
extern "C" int InitializeInjectionNvtx2(NvtxGetExportTableFunc_t tables) {
  const auto* callbacks = static_cast<const NvtxExportTableCallbacks*>(tables(NVTX_ETID_CALLBACKS));
  NvtxFunctionTable table = nullptr;
  unsigned int size = 0;
  if (callbacks == nullptr || callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE2, &table, &size) == 0)
    return 0;
  take(table, NVTX_CBID_CORE2_DomainCreateA, create);
  take(table, NVTX_CBID_CORE2_DomainMarkEx, mark);
  take(table, NVTX_CBID_CORE2_DomainRangePushEx, push);
  take(table, NVTX_CBID_CORE2_DomainRangePop, pop);
  return 1;
}
