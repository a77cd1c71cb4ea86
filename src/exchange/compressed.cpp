#include "compressed.hpp"

#include <algorithm>

#include "block_squares.hpp"
#include "buckets.hpp"
#include "checked_sums.hpp"
#include "codec.hpp"
#include "rondo/core/clock.hpp"
#include "rondo/core/error.hpp"
#include "rondo/core/trace.hpp"
#include "tail.hpp"

namespace rondo {
namespace {

std::size_t whole_slices(std::size_t words) { return (words + kSliceWords - 1) / kSliceWords * kSliceWords; }

// Gradients of a lane's micro-batches add up in memory of the lane. During its last one each layer (a large
// one part by part, where the codec can) is encoded as soon as it is ready, together with what the lane has
// not sent so far (error feedback), and what is still not sent takes the gradient's place. Only a commit
// makes that the residual: a pass that is repeated begins with the old one.
class Compressed : public Exchange {
 public:
  Compressed(const ExchangeOptions& options, Backend& backend, Communicator& comm, Transport& transport,
             ParameterStore& store, std::int64_t micro_batches)
      : name_(options.compression),
        backend_(backend),
        comm_(comm),
        transport_(transport),
        store_(store),
        per_lane_(micro_batches / lanes_of(options, micro_batches)),
        lanes_(static_cast<std::size_t>(micro_batches / per_lane_)),
        codec_(make_codec(options, store, micro_batches / per_lane_)),
        words_(
            transport.allocate(whole_slices(static_cast<std::size_t>(codec_->words_before(store.blocks()))))),
        // of so many values as without compression, so that they leave as early
        buckets_(static_cast<std::int64_t>(words_.own.size()),
                 bucket_bytes(options, transport, words_.own.size(),
                              static_cast<double>(words_.own.size()) / static_cast<double>(store.values()))),
        checked_(backend, transport, words_, comm, buckets_),
        tail_(static_cast<std::size_t>(store.blocks()), micro_batches, comm),
        sum_(backend, static_cast<std::size_t>(store.values())),
        block_scale_(backend, static_cast<std::size_t>(store.blocks())),
        squares_(backend, block_scale_.size()) {}

  std::string name() const override { return fmt::format("{} of {} lanes", name_, lanes_.size()); }
  real* gradients() override { return arena(lanes_[first_].next); }
  bool adds(std::int64_t index) const override { return index % per_lane_ != 0; }

  void begin(std::int64_t first) override {
    RONDO_CHECK(first % per_lane_ == 0, "micro-batch {} is not the first of a lane", first);
    first_ = static_cast<std::size_t>(first / per_lane_);
    last_ = first_;
    buckets_.begin();
    checked_.begin();
    tail_.clear();
    // What follows the last block is no code, but would be summed again and again if it ever went wrong.
    std::ranges::fill(words_.own.subspan(static_cast<std::size_t>(codec_->words_before(store_.blocks()))),
                      0u);
  }

  void start(std::int64_t begin, std::int64_t index) override {
    last_ = first_ + static_cast<std::size_t>(index / per_lane_);
    encoded_ = begin / kBlock;
    store_.attach_gradients(arena(lanes_[last_].next));
  }

  void ready(std::int64_t end, std::int64_t index, std::int64_t count) override {
    take(end / kBlock, index, count);
  }
  void so_far(std::int64_t end, std::int64_t index, std::int64_t count) override {
    if (codec_->cuts_tensors()) take(end / kBlock, index, count);
  }

  void idle() override { throw Error("a compressed exchange has a lane for every rank"); }

  StepOutcome finish(const StepReport& mine) override {
    const double start = now_s();
    transport_.finish();
    note_span(SpanKind::wait, 0, start, now_s());
    checked_.verify();
    tail_.combine(transport_, mine, checked_.fault());
    StepOutcome outcome = tail_.outcome();
    if (outcome.verdict == Verdict::commit) outcome.verdict = judge();
    if (outcome.verdict == Verdict::corrupt) outcome.corruption = CheckedSums::named(tail_.fault());
    times.exposed_s += now_s() - start;
    return outcome;
  }

  GradientView gradient(double factor) override {
    block_scale_.put(std::vector<float>(block_scale_.size(), static_cast<float>(factor)));
    return {sum_.data(), nullptr, block_scale_.data()};
  }

  std::vector<double> block_squares() override { return squares_.of(gradient(1)); }

  void collect() override {
    std::vector<std::uint64_t> owners(lanes_.size());
    for (std::size_t lane = first_; lane <= last_; ++lane)
      owners[lane] = static_cast<std::uint64_t>(comm_.rank());
    comm_.sum(owners);
    for (std::size_t lane = 0; lane < lanes_.size(); ++lane)
      comm_.broadcast(std::as_writable_bytes(std::span(arena(lanes_[lane].residual), sum_.size())),
                      static_cast<int>(owners[lane]));
  }

  void visit(StateVisitor& visitor) override {
    codec_->visit(visitor);
    for (std::size_t lane = 0; lane < lanes_.size(); ++lane)
      store_.visit(visitor, fmt::format("exchange/lane{}", lane), arena(lanes_[lane].residual));
  }

 private:
  // Gradients of all blocks before `end` are complete.
  void take(std::int64_t end, std::int64_t index, std::int64_t count) {
    RONDO_CHECK(index + 1 < count || !adds(count), "a rank has a part of a lane");
    if (adds(index + 1)) return;  // the lane goes on
    const double start = now_s();
    const bool last = index + 1 == count, whole = end == store_.blocks();
    encode(end);
    if (last) {
      buckets_.ready(whole ? static_cast<std::int64_t>(words_.own.size()) : codec_->words_before(encoded_),
                     [&](WordRange bucket) { send(bucket); });
      if (whole) checked_.start_checksums();
      transport_.progress();
    }
    const double stop = now_s();
    times.hidden_s += stop - start;
    note_span(SpanKind::exchange, index, start, stop);
  }

  struct Lane {
    std::unique_ptr<Buffer> residual;  // what has not been sent so far
    std::unique_ptr<Buffer> next;      // its gradient, then what this pass has not sent
  };

  // Made when it is needed: a rank has its own lanes only, unless it has collected the others'.
  float* arena(std::unique_ptr<Buffer>& buffer) {
    if (buffer == nullptr) buffer = backend_.allocate(sum_.size() * sizeof(float));
    return static_cast<float*>(buffer->data());
  }

  void encode(std::int64_t end) {
    Lane& lane = lanes_[last_];
    std::uint32_t* const words = words_.own.data();
    if (last_ == first_)
      std::fill(words + codec_->words_before(encoded_), words + codec_->words_before(end), 0u);
    codec_->encode(static_cast<std::int64_t>(last_), {encoded_, end}, arena(lane.next), arena(lane.residual),
                   words, tail_.maxima().data());
    encoded_ = end;
  }

  void send(WordRange bucket) {
    checked_.check(blocks_of(bucket));
    checked_.start(bucket);
  }

  // From numbers that all ranks have, so all take the same decision.
  Verdict judge() {
    const auto maxima = tail_.maxima();
    if (std::ranges::any_of(maxima, [](std::uint32_t bits) { return bits >= kNotFinite; }))
      return Verdict::not_finite;
    if (tail_.fault() != 0) return Verdict::corrupt;
    codec_->decode(words_.own.data(), sum_.data());
    if (codec_->learn(maxima)) return Verdict::redo;
    for (std::size_t lane = first_; lane <= last_; ++lane)
      std::swap(lanes_[lane].residual, lanes_[lane].next);
    return Verdict::commit;
  }

  std::string name_;
  Backend& backend_;
  Communicator& comm_;
  Transport& transport_;
  ParameterStore& store_;
  std::int64_t per_lane_;  // micro-batches
  std::vector<Lane> lanes_;
  std::unique_ptr<Codec> codec_;
  Arena words_;  // codes, then their sums
  Buckets buckets_;
  CheckedSums checked_;
  Tail tail_;
  DeviceArray<float> sum_;
  DeviceArray<float> block_scale_;
  BlockSquares squares_;
  std::size_t first_ = 0, last_ = 0;  // of this rank's lanes: the first, and the one in work
  std::int64_t encoded_ = 0;          // blocks of it
};

}  // namespace

std::unique_ptr<Exchange> make_compressed_exchange(const ExchangeOptions& options, Backend& backend,
                                                   Communicator& comm, Transport& transport,
                                                   ParameterStore& store, std::int64_t micro_batches) {
  if (!backend.reads_host_memory())
    input_error(
        "exchange.compression = \"{}\" is for ranks on CPUs so far, but device.kind is \"{}\"; use \"none\"",
        options.compression, backend.name());
  if (options.arithmetic != "exact")
    input_error("exchange.compression = \"{}\" sums codes exactly; set exchange.arithmetic = \"exact\"",
                options.compression);
  return std::make_unique<Compressed>(options, backend, comm, transport, store, micro_batches);
}

}  // namespace rondo
