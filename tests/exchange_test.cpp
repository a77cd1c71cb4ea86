// The exact exchange on made-up gradients: sums, padding, and memory that goes wrong. Every rank runs every
// test, in host memory by every algorithm, and by NCCL where each rank has a card.
#include "rondo/exchange/exchange.hpp"

#include <cmath>
#include <cstdlib>

#include "catch.hpp"
#include "rondo/core/error.hpp"
#include "rondo/core/philox.hpp"
#include "rondo/device/cards.hpp"

using namespace rondo;

namespace {

constexpr std::int64_t kMicroBatches = 6;

Communicator& world() {
  static const std::unique_ptr<Communicator> comm = Communicator::world(30);
  return *comm;
}

struct Way {
  std::string kind, algorithm;
};

/// RONDO_NEEDS_CUDA: fail rather than leave the cards out.
std::vector<Way> ways() {
  std::vector<Way> all;
  for (const std::string& algorithm : available_algorithms(world())) all.push_back({"cpu", algorithm});
  const auto ranks = static_cast<std::size_t>(world().local_size());
  const bool cards = why_not("cuda").empty() && report_cards().cards.size() >= ranks;
  RONDO_CHECK(cards || std::getenv("RONDO_NEEDS_CUDA") == nullptr, "not a card for each of {} ranks", ranks);
  if (cards) all.push_back({"cuda", "nccl"});
  return all;
}

std::unique_ptr<Backend> backend_of(const Way& way) {
  DeviceOptions options{way.kind, 1};
  return make_backend(options, world().local_rank(), world().local_size());
}

/// Hands everything on, and, once told to, flips a bit of the sums behind their checksum's back.
class BadMemory : public Transport {
 public:
  BadMemory(const std::string& algorithm, Backend& backend)
      : backend_(backend), inner_(make_transport(algorithm, world(), backend)) {}
  void flip_on_rank(int rank) { armed_ = world().rank() == rank; }

  std::string_view name() const override { return inner_->name(); }
  Arena allocate(std::size_t words) override {
    const Arena arena = inner_->allocate(words);
    if (sums_.own.empty()) sums_ = arena;
    return arena;
  }
  void start(const Arena& arena, WordRange range, SumType type) override {
    if (arena.id == sums_.id) flip(range);
    inner_->start(arena, range, type);
  }
  void start(WordRange range, SliceWork work) override {
    flip(range);
    inner_->start(range, std::move(work));
  }
  bool progress() override { return inner_->progress(); }
  void finish() override { inner_->finish(); }
  void share(const Arena& arena) override { inner_->share(arena); }
  void combine(std::span<std::uint32_t> sums, std::span<std::uint32_t> maxima) override {
    inner_->combine(sums, maxima);
  }

 private:
  void flip(WordRange range) {
    if (!std::exchange(armed_, false)) return;
    std::uint32_t word = 0, *const place = &sums_.own[range.end - 3];
    backend_.copy_out(&word, place, sizeof word);
    word ^= 1u << 7;
    backend_.copy_in(place, &word, sizeof word);
  }
  Backend& backend_;
  std::unique_ptr<Transport> inner_;
  Arena sums_;
  bool armed_ = false;
};

/// Three layers of odd sizes with gradients that are functions of (micro-batch, place).
struct Run {
  std::unique_ptr<Backend> backend;
  ParameterStore store;
  std::vector<std::int64_t> ends;
  BadMemory transport;
  std::unique_ptr<Exchange> exchange;

  explicit Run(const Way& way) : backend(backend_of(way)), transport(way.algorithm, *backend) {
    for (const std::int64_t size : {1500, 7, 3000}) {
      store.add("weight", {size}, {}, true);
      store.add("bias", {size / 7}, {}, false);
      ends.push_back(store.end_layer());
    }
    store.allocate(*backend, 1);
    ExchangeOptions options;
    options.bucket_bytes = 4096;
    exchange = make_exchange(options, *backend, world(), transport, store, kMicroBatches);
  }

  static float gradient(std::int64_t micro_batch, std::int64_t place) {
    const RandomStream stream{3, Purpose::test, static_cast<std::uint32_t>(micro_batch), 0};
    return std::ldexp(stream.uniform(static_cast<std::uint64_t>(place)) - 0.5f, static_cast<int>(place % 9));
  }

  Verdict step() {
    const int n = world().size(), me = world().rank();
    const std::int64_t begin = kMicroBatches * me / n, count = kMicroBatches * (me + 1) / n - begin;
    exchange->begin();
    for (std::int64_t index = 0; index < count; ++index) {
      std::size_t layer = 0;
      for (std::size_t t = 0; t < store.list().size(); ++t) {
        const Parameter& p = store.list()[t];
        std::vector<float> values;
        for (std::int64_t i = 0; i < p.size; ++i) values.push_back(gradient(begin + index, p.offset + i));
        backend->copy_in(store.gradient(static_cast<int>(t)), values.data(), values.size() * sizeof(float));
        if (p.end() == ends[layer]) exchange->ready(ends[layer++], index, count);
      }
    }
    return exchange->finish(std::vector<double>(kMicroBatches, 1), 0).verdict;
  }

  /// The largest |sum - reference| over all places as a share of 1, or of nothing where padding must be zero.
  double error() {
    const GradientView view = exchange->gradient(1);
    std::vector<std::uint32_t> fixed(static_cast<std::size_t>(store.values()));
    std::vector<float> scales(fixed.size() / kBlock);
    backend->copy_out(fixed.data(), view.fixed, fixed.size() * sizeof fixed[0]);
    backend->copy_out(scales.data(), view.block_scale, scales.size() * sizeof scales[0]);
    std::vector<double> want(static_cast<std::size_t>(store.values()));
    for (const Parameter& p : store.list())
      for (std::int64_t i = 0; i < p.size; ++i)
        for (std::int64_t m = 0; m < kMicroBatches; ++m)
          want[static_cast<std::size_t>(p.offset + i)] += static_cast<double>(gradient(m, p.offset + i));
    double worst = 0;
    for (std::size_t i = 0; i < want.size(); ++i) {
      const double got =
          static_cast<double>(static_cast<std::int32_t>(fixed[i])) * static_cast<double>(scales[i / kBlock]);
      if (want[i] == 0 && got != 0) return 1e300;
      worst = std::max(worst, std::fabs(got - want[i]));
    }
    return worst;
  }
};

}  // namespace

TEST_CASE("gradients of layers that share memory add up, and padding stays zero") {
  for (const Way& way : ways()) {
    INFO(way.algorithm);
    Run run(way);
    CHECK(run.step() == Verdict::redo);  // the first step has no exponents yet
    for (int step = 0; step < 3; ++step) {
      CHECK(run.step() == Verdict::commit);
      CHECK(run.error() < 1e-4);  // half a unit of 128 / 2^23 a micro-batch
    }
  }
}

TEST_CASE("one flipped bit of a sum is noticed by every rank") {
  for (const Way& way : ways())
    for (int rank = 0; rank < world().size(); ++rank) {
      INFO(way.algorithm << ", rank " << rank);
      Run run(way);
      run.step();
      CHECK(run.step() == Verdict::commit);
      run.transport.flip_on_rank(rank);
      std::string text;
      try {
        run.step();
      } catch (const Error& error) {
        text = error.what();
      }
      CHECK(text.find("checksum") != std::string::npos);
    }
}
