#include "nccl_transport.hpp"

#include <cstring>
#include <future>
#include <thread>

#include "message_transport.hpp"
#include "nccl.hpp"
#include "rondo/core/error.hpp"
#include "rondo/core/trace.hpp"

namespace rondo {
namespace {

constexpr double kAbortTimeout = 10;  // seconds; ncclCommAbort itself can hang

void cuda(cudaError_t result, const char* what) {
  if (result != cudaSuccess) throw Error(fmt::format("{} failed: {}", what, cudaGetErrorString(result)));
}

void abort_with_deadline(ncclComm_t comm) {
  if (comm == nullptr) return;
  std::promise<void> aborted;
  std::future<void> end = aborted.get_future();
  std::thread([comm, aborted = std::move(aborted)]() mutable {
    ncclCommAbort(comm);
    aborted.set_value();
  }).detach();
  end.wait_for(std::chrono::duration<double>(kAbortTimeout));
}

}  // namespace

NcclTransport::NcclTransport(MpiCommunicator& comm, Backend& backend)
    : comm_(comm), backend_(backend), mpi_(comm.duplicate()) {
  cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "creating a stream");
  cuda(cudaEventCreateWithFlags(&ready_, cudaEventDisableTiming), "creating an event");
  cuda(cudaEventCreateWithFlags(&done_, cudaEventDisableTiming), "creating an event");
  ncclUniqueId id{};
  if (comm.rank() == 0) settle(ncclGetUniqueId(&id), "making NCCL's id");
  comm.broadcast(std::as_writable_bytes(std::span(&id, 1)), 0);
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  settle(ncclCommInitRankConfig(&nccl_, comm.size(), id, comm.rank(), &config), "joining NCCL's ranks");
}

NcclTransport::~NcclTransport() {
  if (nccl_ != nullptr) {
    if (!pending_.empty() || std::uncaught_exceptions() > 0)
      abort_with_deadline(nccl_);
    else
      ncclCommDestroy(nccl_);
  }
  for (const cudaEvent_t event : {ready_, done_})
    if (event != nullptr) cudaEventDestroy(event);
  if (stream_ != nullptr) cudaStreamDestroy(stream_);
}

void NcclTransport::fail(const std::string& what, const std::string& why) {
  const std::string detail = nccl_ == nullptr ? "" : ncclGetLastError(nccl_);
  abort_with_deadline(std::exchange(nccl_, nullptr));
  throw Error(fmt::format("rank {}: {}: {}{}{}; NCCL_DEBUG=INFO tells more", comm_.rank(), what, why,
                          detail.empty() ? "" : ": ", detail));
}

void NcclTransport::settle(ncclResult_t result, const std::string& what) {
  Patience patience(comm_.timeout_s());
  while (result == ncclInProgress) {
    if (patience.pause() && patience.expired())
      fail(what, fmt::format("no answer for {:.1f} s: a rank is dead or stuck", patience.waited()));
    ncclResult_t state = ncclSuccess;
    result = ncclCommGetAsyncError(nccl_, &state);
    if (result == ncclSuccess) result = state;
  }
  if (result != ncclSuccess) fail(what, ncclGetErrorString(result));
}

Arena NcclTransport::allocate(std::size_t words) {
  memory_.push_back(backend_.allocate(words * sizeof(std::uint32_t)));
  return {
      static_cast<int>(memory_.size()) - 1, {static_cast<std::uint32_t*>(memory_.back()->data()), words}, {}};
}

void NcclTransport::start(const Arena& arena, WordRange range, SumType type, SumTo) {
  RONDO_CHECK(range.begin <= range.end && range.end <= arena.own.size(),
              "words [{}, {}) are not in arena {} of transport \"nccl\"", range.begin, range.end, arena.id);
  if (range.size() == 0) return;
  std::uint32_t* const data = arena.own.data() + range.begin;
  const ncclDataType_t kind = type == SumType::int32 ? ncclInt32 : ncclFloat32;
  queue(
      fmt::format("the all-reduce of words [{}, {}) of arena {}", range.begin, range.end, arena.id),
      [&] { return ncclAllReduce(data, data, range.size(), kind, ncclSum, nccl_, stream_); }, range.size());
}

void NcclTransport::note_laps() {
  for (const Lap& lap : laps_)
    note_span(SpanKind::bucket, reductions_traced_++, backend_.when(lap.begin), backend_.when(lap.end),
              static_cast<std::uint32_t>(lap.words * sizeof(std::uint32_t)));
  laps_.clear();
}

void NcclTransport::queue(std::string what, const std::function<ncclResult_t()>& collective,
                          std::size_t traced_words) {
  const bool traced = traced_words != 0 && trace() != nullptr;
  pending_ = std::move(what);
  cuda(cudaEventRecord(ready_, static_cast<cudaStream_t>(backend_.stream())), "recording an event");
  cuda(cudaStreamWaitEvent(stream_, ready_, 0), "ordering two streams");
  const std::size_t begin = traced ? backend_.moment(stream_) : 0;
  settle(collective(), pending_);
  if (traced) laps_.push_back({begin, backend_.moment(stream_), traced_words});
  cuda(cudaEventRecord(done_, stream_), "recording an event");
}

void NcclTransport::share(const Arena& arena, std::span<const WordRange> ranges) {
  RONDO_CHECK(pending_.empty(), "share() while a reduction is pending");
  for (const WordRange range : ranges)
    for (int r = 0; r < comm_.size(); ++r) {
      const WordRange slice = slice_of(range, r, comm_.size());
      std::uint32_t* const data = arena.own.data() + slice.begin;
      if (slice.size() == 0) continue;
      queue(fmt::format("the broadcast of words [{}, {}) of arena {}", slice.begin, slice.end, arena.id),
            [&] { return ncclBroadcast(data, data, slice.size(), ncclInt32, r, nccl_, stream_); });
    }
  finish();
}

void NcclTransport::start(WordRange, SliceWork) {
  throw Error("transport \"nccl\" cannot run work on slices: its arenas have no peers");
}

bool NcclTransport::progress() {
  if (pending_.empty()) return true;
  ncclResult_t state = ncclSuccess;
  const ncclResult_t asked = ncclCommGetAsyncError(nccl_, &state);
  if (asked != ncclSuccess || state != ncclSuccess)
    fail(pending_, ncclGetErrorString(asked != ncclSuccess ? asked : state));
  const cudaError_t end = cudaEventQuery(done_);
  if (end == cudaErrorNotReady) {
    cudaGetLastError();  // it is remembered as an error, which the next launch would be blamed for
    return false;
  }
  cuda(end, "a sum of gradients");
  pending_.clear();
  return true;
}

void NcclTransport::finish() {
  Patience patience(comm_.timeout_s());
  while (!progress())
    if (patience.pause() && patience.expired())
      fail(pending_, fmt::format("not done after {:.1f} s: a rank is dead or stuck", patience.waited()));
  note_laps();
}

void NcclTransport::combine(std::span<std::uint32_t> sums, std::span<std::uint32_t> maxima) {
  RONDO_CHECK(pending_.empty(), "combine() while a reduction is pending");
  combine_by_messages(comm_, mpi_, sums, maxima);
}

std::string why_no_nccl() { return ""; }

std::string nccl_version() {
  int version = 0;
  if (ncclGetVersion(&version) != ncclSuccess) return "its version cannot be asked";
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

std::unique_ptr<Transport> make_nccl_transport(MpiCommunicator& comm, Backend& backend) {
  return std::make_unique<NcclTransport>(comm, backend);
}

}  // namespace rondo
