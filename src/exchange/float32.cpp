// The float32 exchange: what other trainers do. Sums depend on the number of ranks: outside the promise.
#include <algorithm>
#include <cmath>

#include "block_squares.hpp"
#include "buckets.hpp"
#include "exact.hpp"
#include "rondo/core/clock.hpp"
#include "rondo/core/trace.hpp"
#include "rondo/device/array.hpp"
#include "rondo/device/simd.hpp"
#include "tail.hpp"

namespace rondo {
namespace {

class Float32 : public Exchange {
 public:
  Float32(const ExchangeOptions& options, Backend& backend, Communicator& comm, Transport& transport,
          ParameterStore& store, std::int64_t micro_batches, bool scatter)
      : backend_(backend),
        comm_(comm),
        transport_(transport),
        gradients_(transport.allocate(static_cast<std::size_t>(store.values()))),
        buckets_(store.values(), bucket_bytes(options, transport, gradients_.own.size())),
        tail_(0, micro_batches, comm),
        block_scale_(backend, static_cast<std::size_t>(store.blocks())),
        squares_(backend, block_scale_.size()) {
    if (scatter && transport.scatters()) scattered = buckets_.all();
  }

  std::string name() const override { return "float32"; }
  real* gradients() override { return reinterpret_cast<real*>(gradients_.own.data()); }
  bool adds(std::int64_t index) const override { return index > 0; }

  void begin(std::int64_t) override {
    buckets_.begin();
    tail_.clear();
  }

  void start(std::int64_t, std::int64_t) override {}

  void so_far(std::int64_t end, std::int64_t index, std::int64_t count) override { ready(end, index, count); }

  void ready(std::int64_t end, std::int64_t index, std::int64_t count) override {
    if (index + 1 != count) return;
    const double start = now_s();
    buckets_.ready(end, [&](WordRange bucket) { send(bucket); });
    transport_.progress();
    const double stop = now_s();
    times.hidden_s += stop - start;
    note_span(SpanKind::exchange, index, start, stop);
  }

  void idle() override {
    backend_.clear(gradients(), gradients_.own.size_bytes());
    ready(static_cast<std::int64_t>(gradients_.own.size()), 0, 1);
  }

  StepOutcome finish(const StepReport& mine) override {
    const double start = now_s();
    transport_.finish();
    note_span(SpanKind::wait, 0, start, now_s());
    tail_.combine(transport_, mine, 0);
    const StepOutcome outcome = tail_.outcome();
    times.exposed_s += now_s() - start;
    return outcome;
  }

  GradientView gradient(double factor) override {
    block_scale_.put(std::vector<float>(block_scale_.size(), static_cast<float>(factor)));
    return {gradients(), nullptr, block_scale_.data()};
  }

  std::vector<double> block_squares() override {
    return squares_.of(gradient(1), scattered, comm_, transport_);
  }

  void visit(StateVisitor&) override {}

 private:
  void send(WordRange bucket) {
    transport_.start(gradients_, bucket, SumType::float32,
                     scattered.empty() ? SumTo::every_rank : SumTo::owners);
  }

  Backend& backend_;
  Communicator& comm_;
  Transport& transport_;
  Arena gradients_;
  Buckets buckets_;
  Tail tail_;
  DeviceArray<float> block_scale_;
  BlockSquares squares_;
};

}  // namespace

std::unique_ptr<Exchange> make_float32_exchange(const ExchangeOptions& options, Backend& backend,
                                                Communicator& comm, Transport& transport,
                                                ParameterStore& store, std::int64_t micro_batches,
                                                bool scatter) {
  return std::make_unique<Float32>(options, backend, comm, transport, store, micro_batches, scatter);
}

}  // namespace rondo
