#include "exact.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include "block_squares.hpp"
#include "buckets.hpp"
#include "checked_sums.hpp"
#include "rondo/core/clock.hpp"
#include "rondo/core/error.hpp"
#include "rondo/core/huge_pages.hpp"
#include "rondo/core/log.hpp"
#include "rondo/core/trace.hpp"
#include "rondo/device/array.hpp"
#include "rondo/exchange/fixed_point.hpp"
#include "tail.hpp"

namespace rondo {
namespace {

std::vector<BlockSpan> tensors_of(const ParameterStore& store) {
  std::vector<BlockSpan> spans;
  for (const Parameter& p : store.list()) spans.push_back({p.offset / kBlock, p.end() / kBlock});
  return spans;
}

// Two ways to the same integers:
//   two passes: each micro-batch is converted and added to this rank's int32 arena, layer by layer (a large
//   one part by part) while its gradients are in the cache, so there is memory for one layer's gradients
//   only; then arenas are summed. The first one's gradients wait in the arena itself, as float32, and are
//   converted with the second's;
//   fused: every rank runs one micro-batch and can read its peers' memory, so the owner of a slice converts
//   and adds all ranks' float32 gradients in one pass.
// Block maxima come from whoever converts; the tail takes their maximum over ranks. Each rank guards every
// block that it hands on, of integers or, where fused, of gradients (CheckedSums).
class Exact : public Exchange {
 public:
  Exact(const ExchangeOptions& options, Backend& backend, Communicator& comm, Transport& transport,
        ParameterStore& store, std::int64_t micro_batches, bool spares, bool scatter)
      : backend_(backend),
        comm_(comm),
        transport_(transport),
        store_(store),
        sums_(transport.allocate(static_cast<std::size_t>(store.values()))),
        fused_(!sums_.peers.empty() && comm.size() == micro_batches && !spares),
        buckets_(store.values(), bucket_bytes(options, transport, sums_.own.size())),
        fixed_(tensors_of(store), micro_batches),
        tail_(blocks(), micro_batches, comm),
        block_scale_(backend, blocks()),
        squares_(backend, blocks()),
        scales_(backend, blocks()),
        maxima_(backend, blocks()) {
    if (scatter && transport.scatters()) scattered = buckets_.all();
    checked_.emplace(backend, transport, sums_, comm, buckets_, scattered);
    if (!fused_)  // a huge page spreads evenly over a cache: conversion takes 0.98 x the time
      layer_ = backend.allocate(
          std::max(kHugePage, static_cast<std::size_t>(store.largest_layer()) * sizeof(real)));
    if (fixed_.bits_left() < 16)
      warn(
          fmt::format("train.micro_batches = {} leaves {} bits for a gradient in the exact exchange: fewer "
                      "micro-batches keep it finer",
                      micro_batches, fixed_.bits_left()));
  }

  std::string name() const override { return fused_ ? "exact, fused" : "exact"; }
  real* gradients() override { return reinterpret_cast<real*>(sums_.own.data()); }
  bool adds(std::int64_t) const override { return false; }

  void begin(std::int64_t) override {
    buckets_.begin();
    tail_.clear();
    checked_->begin();
    if (!fused_) {
      scales_.put({fixed_.scales(), blocks()});
      maxima_.clear();
    }
  }

  void start(std::int64_t begin, std::int64_t index) override {
    begin_ = converted_ = begin;
    if (!fused_) store_.attach_layer(begin, layer(begin, index));
  }

  void ready(std::int64_t end, std::int64_t index, std::int64_t count) override {
    take(end, index, count, true);
  }
  void so_far(std::int64_t end, std::int64_t index, std::int64_t count) override {
    take(end / kBlock * kBlock, index, count, false);
  }

  void idle() override {
    backend_.clear(sums_.own.data(), sums_.own.size_bytes());
    checked_->clear_checks();
    buckets_.ready(store_.values(), [&](WordRange bucket) { send(bucket); });
    checked_->start_checksums();
    transport_.progress();
  }

  StepOutcome finish(const StepReport& mine) override {
    const double start = now_s();
    transport_.finish();
    note_span(SpanKind::wait, 0, start, now_s());
    if (!fused_) maxima_.get(tail_.maxima());
    checked_->verify();
    tail_.combine(transport_, mine, checked_->fault());
    StepOutcome outcome = tail_.outcome();
    if (outcome.verdict == Verdict::commit) outcome.verdict = judge();
    if (outcome.verdict == Verdict::corrupt) {
      outcome.corruption = CheckedSums::named(tail_.fault());
      if (fused_)
        backend_.clear(sums_.own.data(), sums_.own.size_bytes());  // backward leaves padding as it is
    }
    times.exposed_s += now_s() - start;
    return outcome;
  }

  GradientView gradient(double factor) override {
    std::vector<float> scale(inverse_);
    for (float& x : scale) x *= static_cast<float>(factor);
    block_scale_.put(scale);
    return {nullptr, sums_.own.data(), block_scale_.data()};
  }

  std::vector<double> block_squares() override {
    return squares_.of(gradient(1), scattered, comm_, transport_);
  }

  void visit(StateVisitor& visitor) override { fixed_.visit(visitor); }

 private:
  void take(std::int64_t end, std::int64_t index, std::int64_t count, bool whole_layer) {
    const double begin = now_s();
    const bool last = index + 1 == count;
    if (!fused_ && end > converted_) convert(end, index, last);
    if (!fused_ && whole_layer) start(end, index);
    if (last) {
      buckets_.ready(end, [&](WordRange bucket) { send(bucket); });
      if (end == store_.values()) checked_->start_checksums();
      transport_.progress();
    }
    const double stop = now_s();
    times.hidden_s += stop - begin;
    note_span(SpanKind::exchange, index, begin, stop);
  }

  int to() const { return scattered.empty() ? kEveryRank : comm_.rank(); }
  std::size_t blocks() const { return sums_.own.size() / static_cast<std::size_t>(kBlock); }

  // Gradients of the layer from `begin` on, of this rank's `index`-th micro-batch.
  real* layer(std::int64_t begin, std::int64_t index) {
    return index == 0 ? gradients() + begin : static_cast<real*>(layer_->data());
  }

  // What it owns a rank fetches itself, where fused: nothing has been done to that yet which could be
  // guarded.
  void send(WordRange bucket) {
    if (!fused_) return checked_->start(bucket);
    for (int owner = 0; owner < comm_.size(); ++owner)
      if (owner != comm_.rank()) checked_->check(blocks_of(slice_of(bucket, owner, comm_.size())));
    transport_.start(bucket, [this](WordRange slice) { convert_and_sum(slice); });
  }

  // The gradients that have just become ready of the layer at hand, while they are in the cache.
  void convert(std::int64_t end, std::int64_t index, bool last) {
    RONDO_CHECK(end - begin_ <= store_.largest_layer(), "a layer did not say that its gradients are ready");
    const std::int64_t b = converted_ / kBlock;
    const real* const gradients = layer(begin_, index) + (converted_ - begin_);
    const Held held = index == 0 ? Held::nothing : index == 1 ? Held::values : Held::integers;
    if (last && checked_->sealed())
      convert_and_seal({b, end / kBlock}, gradients, held);
    else if (index > 0 || last)
      backend_.quantise(sums_.own.data() + converted_, gradients, (end - converted_) / kBlock,
                        scales_.data() + b, held, maxima_.data() + b, last ? checked_->checks(b) : nullptr);
    converted_ = end;
  }

  // In memory that peers read, so on the CPU.
  void convert_and_seal(BlockSpan blocks, const real* gradients, Held held) {
    for (std::int64_t b = blocks.begin; b < blocks.end; ++b, gradients += kBlock) {
      const std::uint32_t bits = simd().quantise(sums_.own.data() + b * kBlock, gradients, held,
                                                 scales_.data()[b], checked_->checks(b));
      maxima_.data()[b] = std::max(maxima_.data()[b], bits);
    }
  }

  void convert_and_sum(WordRange slice) {
    for (std::size_t at = slice.begin; at < slice.end; at += kSliceWords) {
      const std::size_t b = at / kSliceWords;
      tail_.maxima()[b] = simd().quantise_sum_sealed(sums_.peers.data(), static_cast<int>(sums_.peers.size()),
                                                     at, fixed_.scales()[b], to(), checked_->seals().data());
      checked_->verify_seals(b, false);
    }
  }

  // From numbers that all ranks have, so all take the same decision.
  Verdict judge() {
    // Seals hold for whatever a rank has handed on; maxima of what has become of it would mislead.
    if (checked_->sealed() && tail_.fault() != 0) return Verdict::corrupt;
    const auto maxima = tail_.maxima();
    const std::uint32_t largest = *std::ranges::max_element(maxima);
    if (largest >= kNotFinite) return Verdict::not_finite;
    if (fixed_.refit_flagged(maxima))
      return Verdict::redo;  // sums may have overflowed, and checksums then differ
    if (tail_.fault() != 0) return Verdict::corrupt;
    inverse_ = fixed_.inverses();
    fixed_.refit(maxima);
    return Verdict::commit;
  }

  Backend& backend_;
  Communicator& comm_;
  Transport& transport_;
  ParameterStore& store_;
  Arena sums_;  // fused: also the gradients, each block's sum takes their place
  bool fused_;
  std::unique_ptr<Buffer> layer_;  // gradients of one layer, of all micro-batches but the first
  std::optional<CheckedSums> checked_;
  Buckets buckets_;
  FixedPoint fixed_;
  Tail tail_;
  std::vector<float> inverse_;
  DeviceArray<float> block_scale_;
  BlockSquares squares_;
  DeviceArray<float> scales_;  // these two: not where fused
  DeviceArray<std::uint32_t> maxima_;
  std::int64_t begin_ = 0, converted_ = 0;  // of the layer whose gradients come next: where it begins, and
                                            // up to where they have come
};

}  // namespace

std::unique_ptr<Exchange> make_exact_exchange(const ExchangeOptions& options, Backend& backend,
                                              Communicator& comm, Transport& transport, ParameterStore& store,
                                              std::int64_t micro_batches, bool spares, bool scatter) {
  return std::make_unique<Exact>(options, backend, comm, transport, store, micro_batches, spares, scatter);
}

}  // namespace rondo
