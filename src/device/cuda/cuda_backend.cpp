#include "cuda_backend.hpp"

#include <cstring>

#include "check.hpp"
#include "kernels/launch.hpp"
#include "peak.hpp"
#include "probe.hpp"
#include "rondo/core/clock.hpp"
#include "rondo/core/error.hpp"

namespace rondo {
namespace {

class DeviceBuffer : public Buffer {
 public:
  DeviceBuffer(std::size_t bytes, const Stream& stream)
      : stream_(stream),
        bytes_((bytes + 63) / 64 * 64),
        memory_(Memory::Kind::device, bytes_ == 0 ? 64 : bytes_) {
    check(cudaMemsetAsync(memory_.data(), 0, memory_.bytes(), stream), "zeroing memory");
    stream.wait();  // other streams may use it next
  }
  ~DeviceBuffer() override { stream_.send(); }  // to be freed behind what uses it
  void* data() override { return memory_.data(); }
  std::size_t bytes() const override { return bytes_; }

 private:
  const Stream& stream_;
  std::size_t bytes_;
  Memory memory_;
};

cudaDeviceProp take_card(int device) {
  cudaDeviceProp card{};
  check(cudaSetDevice(device), "taking a GPU");
  check(cudaGetDeviceProperties(&card, device), "asking for a GPU's properties");
  return card;
}

constexpr int kCopies = 4;                                // of tables, that may be on their way
constexpr std::size_t kSmallCopy = std::size_t{1} << 20;  // bytes; for these the host does not wait

}  // namespace

CudaBackend::CudaBackend(int device)
    : card_(take_card(device)),
      products_(stream_),
      copied_(stream_, kCopies),
      quantiles_(stream_, 1),
      first_wrong_(stream_) {}

CudaBackend::~CudaBackend() { cudaStreamSynchronize(stream_); }  // memory goes next

std::string CudaBackend::numerics() {
  int driver = 0, runtime = 0;
  check(cudaDriverGetVersion(&driver), "asking for the driver's version");
  check(cudaRuntimeGetVersion(&runtime), "asking for the runtime's version");
  return fmt::format(
      "cuda; {}, compute capability {}.{}, {} multiprocessors; driver {}, runtime {}, {}; probe {}",
      card_.name, card_.major, card_.minor, card_.multiProcessorCount, dotted(driver), dotted(runtime),
      products_.version(), probe(*this));
}

std::string CudaBackend::why_not(Precision precision) {
  const bool ampere = precision == Precision::tf32 || precision == Precision::bfloat16;
  return ampere && card_.major < 8 ? "that needs a GPU of compute capability 8.0 or above" : "";
}

double CudaBackend::peak_flops(Precision operands) {
  int device = 0;
  check(cudaGetDevice(&device), "asking for the GPU");
  return rondo::peak_flops(device, operands);
}

// The stream of uploads is idle between steps, so nothing that is timed waits for this.
void CudaBackend::restart_clock() {
  moments_noted_ = 0;
  anchor_.record(uploads_);
  anchor_.wait();
  anchored_at_ = now_s();
}

std::size_t CudaBackend::moment(void* stream) {
  if (moments_noted_ == moments_.size()) moments_.push_back(std::make_unique<Event>(Event::Kind::timed));
  moments_[moments_noted_]->record(stream == nullptr ? stream_ : static_cast<cudaStream_t>(stream));
  return moments_noted_++;
}

double CudaBackend::when(std::size_t moment) {
  return anchored_at_ + moments_.at(moment)->seconds_since(anchor_);
}

std::unique_ptr<Buffer> CudaBackend::allocate(std::size_t bytes) {
  return std::make_unique<DeviceBuffer>(bytes, stream_);
}

void CudaBackend::copy_in(void* device, const void* host, std::size_t bytes) {
  if (bytes == 0) return;
  if (bytes <= kSmallCopy) return void(copied_.send(host, bytes, device));
  check(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream_), "copying to the GPU");
  stream_.wait();
}
void CudaBackend::copy_out(void* host, const void* device, std::size_t bytes) {
  if (bytes == 0) return;
  // Into pageable memory the driver would copy twice as well, and slower.
  void* const to = bytes <= kSmallCopy ? results_.need(bytes, stream_) : host;
  check(cudaMemcpyAsync(to, device, bytes, cudaMemcpyDeviceToHost, stream_), "copying from the GPU");
  stream_.wait();
  if (to != host) std::memcpy(host, to, bytes);
}
void CudaBackend::upload(void* device, const void* host, std::size_t bytes) {
  if (bytes == 0) return;
  check(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, uploads_), "copying to the GPU");
}
void CudaBackend::await_uploads() {
  uploaded_.record(uploads_);
  uploaded_.order_before(stream_);
}

void CudaBackend::clear(void* device, std::size_t bytes) {
  if (bytes != 0) check(cudaMemsetAsync(device, 0, bytes, stream_.grouped()), "zeroing memory");
}

void CudaBackend::copy(void* to, const void* from, std::size_t bytes) {
  if (bytes != 0)
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_.grouped()),
          "copying within the GPU");
}

void CudaBackend::matmul(Operand a, bool transpose_a, Operand b, bool transpose_b, Matrix c, bool accumulate,
                         const RowsDone&) {
  const bool empty = a.rows * a.cols == 0 || b.rows * b.cols == 0;
  if (!empty) return products_.run(a, transpose_a, b, transpose_b, c, accumulate);
  if (!accumulate) clear(c.data, static_cast<std::size_t>(c.size()) * sizeof(real));
}

void CudaBackend::to_half(std::uint16_t* to, const real* from, std::int64_t n, Precision half) {
  kernels::to_half(to, from, n, half, stream_.grouped());
  check_launch("to_half");
}

void CudaBackend::quantise(std::uint32_t* q, const real* g, std::int64_t blocks, const float* scales,
                           Held held, std::uint32_t* max_bits, std::uint32_t* checksums) {
  kernels::quantise(q, g, blocks, scales, held, max_bits, checksums, stream_.grouped());
  check_launch("quantise");
}

void CudaBackend::checksum(const std::uint32_t* q, std::int64_t blocks, std::uint32_t* checksums) {
  kernels::checksum(q, blocks, checksums, stream_.grouped());
  check_launch("checksum");
}

void CudaBackend::block_squares(GradientView g, std::int64_t blocks, double* squares) {
  kernels::block_squares(g.values, g.fixed, g.block_scale, blocks, squares, stream_.grouped());
  check_launch("block_squares");
}

void CudaBackend::adamw(real* w, real* m, real* v, GradientView g, std::int64_t blocks,
                        const float* block_decay, AdamWStep step, std::uint32_t* seen) {
  kernels::adamw(w, m, v, g.values, g.fixed, g.block_scale, blocks, block_decay, step, seen,
                 stream_.grouped());
  check_launch("adamw");
}

void CudaBackend::sgd(real* w, real* momentum, GradientView g, std::int64_t blocks, const float* block_decay,
                      float rate, float beta, float decay, std::uint32_t* seen) {
  kernels::sgd(w, momentum, g.values, g.fixed, g.block_scale, blocks, block_decay, rate, beta, decay, seen,
               stream_.grouped());
  check_launch("sgd");
}

void CudaBackend::average(real* average, const real* w, std::int64_t n, float decay) {
  kernels::average(average, w, n, decay, stream_.grouped());
  check_launch("average");
}

}  // namespace rondo
