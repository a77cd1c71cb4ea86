#include "exact.hpp"

#include <algorithm>
#include <cmath>

#include "buckets.hpp"
#include "rondo/core/clock.hpp"
#include "rondo/core/error.hpp"
#include "rondo/core/log.hpp"
#include "rondo/exchange/fixed_point.hpp"
#include "tail.hpp"

namespace rondo {
namespace {

constexpr std::uint32_t kNotFinite = 0x7f800000;  // bits of |g| from here on are infinities and NaNs
constexpr std::uint32_t kSumsAreGood = 1;         // control word

std::vector<BlockSpan> tensors_of(const ParameterStore& store) {
  std::vector<BlockSpan> spans;
  for (const Parameter& p : store.list()) spans.push_back({p.offset / kBlock, p.end() / kBlock});
  return spans;
}

// Two ways to the same integers:
//   two passes: each micro-batch is converted and added to this rank's int32 arena, the transport sums
//   arenas; fused: every rank runs one micro-batch and can read its peers' memory, so the owner of a slice
//   converts and adds all ranks' float32 gradients in one pass.
// Block maxima come from whoever converts; the tail takes their maximum over ranks. In the two-pass form each
// rank adds a checksum of what it sent, and whoever receives a sum checks it against the sum of checksums; in
// the fused form no sum is ever sent: ranks read one memory.
class Exact : public Exchange {
 public:
  Exact(const ExchangeOptions& options, Backend& backend, Communicator& comm, Transport& transport,
        ParameterStore& store, std::int64_t micro_batches)
      : backend_(backend),
        transport_(transport),
        gradients_(transport.allocate(static_cast<std::size_t>(store.values()))),
        fused_(!gradients_.peers.empty() && comm.size() == micro_batches),
        sums_(fused_ ? gradients_ : transport.allocate(static_cast<std::size_t>(store.values()))),
        buckets_(store.values(), options.bucket_bytes),
        fixed_(tensors_of(store), micro_batches),
        tail_(blocks(), fused_ ? 0 : blocks(), static_cast<std::size_t>(micro_batches)),
        block_scale_(blocks()) {
    if (fixed_.bits_left() < 16)
      warn(
          fmt::format("train.micro_batches = {} leaves {} bits for a gradient in the exact exchange: fewer "
                      "micro-batches keep it finer",
                      micro_batches, fixed_.bits_left()));
    for (std::uint32_t* peer : gradients_.peers) from_.push_back(reinterpret_cast<const float*>(peer));
  }

  std::string name() const override { return fused_ ? "exact, fused" : "exact"; }
  real* gradients() override { return reinterpret_cast<real*>(gradients_.own.data()); }
  bool accumulates() const override { return false; }

  void begin() override {
    buckets_.begin();
    tail_.clear();
  }

  void ready(std::int64_t end, std::int64_t index, std::int64_t count) override {
    const double start = now_s();
    if (index != current_) current_ = index, converted_ = 0;
    if (!fused_ && end > converted_) convert(end, index > 0, index + 1 == count);
    if (index + 1 == count) {
      buckets_.ready(end, [&](WordRange bucket) { send(bucket); });
      transport_.progress();
    }
    times.hidden_s += now_s() - start;
  }

  StepOutcome finish(std::span<const double> losses, std::uint32_t request) override {
    const double start = now_s();
    current_ = -1;
    transport_.finish();
    tail_.combine(transport_, losses, request);
    const std::uint32_t control = transport_.agree(sums_are_good() ? kSumsAreGood : 0);
    RONDO_CHECK((control & kSumsAreGood) != 0,
                "an all-reduce delivered wrong sums (checksum): bad memory or network");
    StepOutcome outcome{Verdict::not_finite, tail_.losses(), tail_.request()};
    if (std::ranges::all_of(outcome.losses, [](double x) { return std::isfinite(x); }))
      outcome.verdict = judge();
    times.exposed_s += now_s() - start;
    return outcome;
  }

  GradientView gradient(double factor) override {
    for (std::size_t b = 0; b < block_scale_.size(); ++b)
      block_scale_[b] = inverse_[b] * static_cast<float>(factor);
    return {nullptr, sums_.own.data(), block_scale_.data()};
  }

  std::vector<double> block_squares() override {
    std::vector<double> squares(blocks());
    backend_.block_squares(gradient(1), fixed_.blocks(), squares.data());
    return squares;
  }

  void visit(StateVisitor& visitor) override { fixed_.visit(visitor); }

 private:
  std::size_t blocks() const { return sums_.own.size() / static_cast<std::size_t>(kBlock); }

  void send(WordRange bucket) {
    if (fused_) {
      transport_.start(bucket, [this](WordRange slice) { convert_and_sum(slice); });
      return;
    }
    transport_.start(sums_, bucket, SumType::int32);
  }

  // Block by block, so that a checksum finds its block in the first-level cache.
  void convert(std::int64_t end, bool add, bool last) {
    for (; converted_ < end; converted_ += kBlock) {
      const std::int64_t b = converted_ / kBlock;
      std::uint32_t* sum = sums_.own.data() + converted_;
      backend_.quantise(sum, gradients() + converted_, 1, fixed_.scales() + b, add,
                        tail_.maxima().data() + b);
      if (last) tail_.sums()[static_cast<std::size_t>(b)] = simd().checksum(sum, kSliceWords);
    }
  }

  void convert_and_sum(WordRange slice) {
    for (std::size_t at = slice.begin; at < slice.end; at += kSliceWords) {
      const std::size_t b = at / kSliceWords;
      tail_.maxima()[b] =
          simd().quantise_sum(sums_.peers.data(), from_.data(), static_cast<int>(from_.size()), at,
                              at + kSliceWords, fixed_.scales()[b]);
    }
  }

  // After a redo's first pass flagged blocks may have wrapped: sums mod 2^32 agree all the same.
  bool sums_are_good() {
    if (fused_) return true;
    bool good = true;
    buckets_.begin();
    buckets_.ready(static_cast<std::int64_t>(sums_.own.size()), [&](WordRange bucket) {
      const WordRange mine = transport_.to_verify(bucket);
      for (std::size_t b = mine.begin / kSliceWords; b < mine.end / kSliceWords; ++b)
        good &= tail_.sums()[b] == simd().checksum(sums_.own.data() + b * kSliceWords, kSliceWords);
    });
    return good;
  }

  // From numbers that all ranks have, so all take the same decision.
  Verdict judge() {
    const auto maxima = tail_.maxima();
    const std::uint32_t largest = *std::ranges::max_element(maxima);
    if (largest >= kNotFinite) return Verdict::not_finite;
    if (fixed_.refit_flagged(maxima)) return Verdict::redo;
    inverse_.resize(blocks());
    for (std::size_t b = 0; b < inverse_.size(); ++b)
      inverse_[b] = fixed_.inverse(static_cast<std::int64_t>(b));
    fixed_.refit(maxima);
    return Verdict::commit;
  }

  Backend& backend_;
  Transport& transport_;
  Arena gradients_;
  bool fused_;
  Arena sums_;  // fused: the same memory, each block's sum in the place of its gradients
  Buckets buckets_;
  FixedPoint fixed_;
  Tail tail_;
  std::vector<const float*> from_;
  std::vector<float> inverse_, block_scale_;
  std::int64_t current_ = -1, converted_ = 0;
};

}  // namespace

std::unique_ptr<Exchange> make_exact_exchange(const ExchangeOptions& options, Backend& backend,
                                              Communicator& comm, Transport& transport, ParameterStore& store,
                                              std::int64_t micro_batches) {
  return std::make_unique<Exact>(options, backend, comm, transport, store, micro_batches);
}

}  // namespace rondo
