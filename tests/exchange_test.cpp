// The exact exchange on made-up gradients: sums, padding, and memory that goes wrong. Up to three ranks, for
// each of which there is a lane; every one runs every test, in host memory by every algorithm, and by NCCL
// where each rank has a card.
#include "rondo/exchange/exchange.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>

#include "bad_memory.hpp"
#include "catch.hpp"
#include "rondo/core/error.hpp"
#include "rondo/core/philox.hpp"
#include "rondo/device/cards.hpp"

using namespace rondo;

namespace {

constexpr std::int64_t kLanes = 3, kMicroBatches = 6;

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

using Shape = std::vector<std::int64_t>;
const std::vector<std::string> kCompressions = {"int16", "int8", "topk", "powersgd"};
/// Its first steps are repeated, because no scales are known yet: of powersgd even and odd ones have their
/// own.
std::size_t first_steps(const std::string& compression) {
  return compression == "topk" ? 0 : compression == "powersgd" ? 2 : 1;
}

/// Three layers of odd sizes with gradients that are functions of (step, micro-batch, place).
struct Run {
  std::uint32_t now = 0;
  Communicator& comm;
  std::unique_ptr<Backend> backend;
  ParameterStore store;
  std::vector<std::int64_t> ends;
  BadMemory transport;
  std::unique_ptr<Exchange> exchange;
  int spares;  ///< of the ranks: the last ones run no micro-batches
  bool says_so_far = true;
  std::int64_t lanes, micro_batches;

  explicit Run(const Way& way, const std::string& compression = "none", Communicator& group = world(),
               int ranks_without = 0, bool scatter = false, bool one_each = false)
      : comm(group),
        backend(backend_of(way)),
        transport(way.algorithm, *backend, comm),
        spares(ranks_without),
        lanes(one_each ? group.size() : kLanes),
        micro_batches(one_each ? group.size() : kMicroBatches) {
    for (const std::int64_t size : {1500, 7, 3000}) {
      store.add(fmt::format("weight{}", size), size % 50 == 0 ? Shape{size / 50, 50} : Shape{size}, {}, true);
      store.add(fmt::format("bias{}", size), {size / 7}, {}, false);
      ends.push_back(store.end_layer());
    }
    store.allocate(*backend, 1);
    ExchangeOptions options;
    options.bucket_bytes = 4096;
    options.compression = compression;
    options.lanes = kLanes;
    exchange = make_exchange(options, *backend, comm, transport, store, micro_batches, spares, scatter);
  }

  /// From a table: a thousand faults ask for some hundred million of them.
  float gradient(std::int64_t micro_batch, std::int64_t place) const {
    static const std::vector<float> drawn = [] {
      const RandomStream stream{3, Purpose::test, 0, 0};
      std::vector<float> all(1 << 16);
      for (std::size_t i = 0; i < all.size(); ++i) all[i] = stream.uniform(i) - 0.5f;
      return all;
    }();
    const auto at = static_cast<std::size_t>(place + 7919 * micro_batch + 104729 * std::int64_t{now});
    return drawn[at % drawn.size()] * static_cast<float>(1 << place % 9);
  }

  // One micro-batch through the layers of a member.
  void run(std::array<std::int64_t, 2> member, std::int64_t micro_batch, std::int64_t index,
           std::int64_t count) {
    for (std::size_t t = 0; t < store.list().size(); ++t) {
      const Parameter& p = store.list()[t];
      if (p.offset < member[0] || p.offset >= member[1]) continue;
      std::vector<float> values(static_cast<std::size_t>(p.size));
      for (std::int64_t i = 0; i < p.size; ++i)
        values[static_cast<std::size_t>(i)] = gradient(micro_batch, p.offset + i);
      if (exchange->adds(index)) {
        std::vector<float> before(values.size());
        backend->copy_out(before.data(), store.gradient(static_cast<int>(t)), values.size() * sizeof(float));
        for (std::size_t i = 0; i < values.size(); ++i) values[i] += before[i];
      }
      const std::size_t part = values.size() * 2 / 3;  // comes first
      real* const to = store.gradient(static_cast<int>(t));
      backend->copy_in(to, values.data(), part * sizeof(float));
      if (says_so_far) exchange->so_far(p.offset + static_cast<std::int64_t>(part), index, count);
      backend->copy_in(to + part, values.data() + part, (values.size() - part) * sizeof(float));
      if (std::ranges::find(ends, p.end()) != ends.end()) exchange->ready(p.end(), index, count);
    }
  }

  StepOutcome step() {
    const int n = comm.size() - spares, me = std::min(comm.rank(), n);
    const std::int64_t per_lane = micro_batches / lanes, begin = lanes * me / n * per_lane,
                       count = me == n ? 0 : lanes * (me + 1) / n * per_lane - begin;
    exchange->begin(begin);
    if (count == 0) exchange->idle();
    const std::int64_t members[] = {0, ends[0], store.values()};  // the second one has two layers
    for (int member = 0; member < 2; ++member)
      for (std::int64_t index = 0; index < count; ++index) {
        exchange->start(members[member], index);
        run({members[member], members[member + 1]}, begin + index, index, count);
      }
    const std::vector<double> losses(static_cast<std::size_t>(micro_batches), 1);
    return exchange->finish({losses});
  }

  std::vector<std::uint32_t> sums() {
    std::vector<std::uint32_t> words(static_cast<std::size_t>(store.values()));
    const GradientView view = exchange->gradient(1);
    backend->copy_out(words.data(),
                      view.fixed != nullptr ? static_cast<const void*>(view.fixed) : view.values,
                      words.size() * sizeof words[0]);
    return words;
  }

  /// The rank that has the sum of this place, where they are scattered.
  int owner_of(std::size_t place) const {
    for (const WordRange range : exchange->scattered)
      for (int rank = 0; rank < comm.size(); ++rank) {
        const WordRange own = slice_of(range, rank, comm.size());
        if (place >= own.begin && place < own.end) return rank;
      }
    return -1;
  }

  /// Whether what this rank has of the sums is what it has there, where it has them all.
  bool same_sums(Run& there) {
    const std::vector<std::uint32_t> mine = sums(), all = there.sums();
    if (exchange->scattered.empty()) return mine == all;
    return std::ranges::all_of(exchange->scattered, [&](WordRange range) {
      const WordRange own = slice_of(range, comm.rank(), comm.size());
      return std::ranges::equal(std::span(mine).subspan(own.begin, own.size()),
                                std::span(all).subspan(own.begin, own.size()));
    });
  }

  /// The largest |sum - reference| over all places as a share of 1, or of nothing where padding must be zero.
  double error() {
    const GradientView view = exchange->gradient(1);
    const std::vector<std::uint32_t> fixed = sums();
    std::vector<float> scales(fixed.size() / kBlock);
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
    CHECK(run.step().verdict == Verdict::redo);  // the first step has no exponents yet
    for (int step = 0; step < 3; ++step) {
      CHECK(run.step().verdict == Verdict::commit);
      CHECK(run.error() < 1e-4);  // half a unit of 128 / 2^23 a micro-batch
      ++run.now;
    }
  }
}

TEST_CASE("a rank without micro-batches adds zeros") {
  for (const Way& way : ways())
    for (int spares = 1; spares < world().size(); ++spares) {
      INFO(way.algorithm);
      Run run(way, "none", world(), spares), all(way);
      CHECK(run.step().verdict == Verdict::redo);
      CHECK(all.step().verdict == Verdict::redo);
      for (int step = 0; step < 3; ++step) {
        CHECK(run.step().verdict == Verdict::commit);
        CHECK(all.step().verdict == Verdict::commit);
        CHECK(run.sums() == all.sums());
        ++run.now, ++all.now;
      }
    }
}

TEST_CASE("ranks that need a part of the sums have it, and the squares of all") {
  for (const Way& way : ways()) {
    INFO(way.algorithm);
    Run run(way, "none", world(), 0, true), all(way);
    const bool whole_only =
        world().size() == 1 || way.algorithm == "tree" || way.algorithm == "mpi" || way.algorithm == "nccl";
    CHECK(run.exchange->scattered.empty() == whole_only);
    CHECK(run.step().verdict == Verdict::redo);
    CHECK(all.step().verdict == Verdict::redo);
    for (int step = 0; step < 3; ++step) {
      CHECK(run.step().verdict == Verdict::commit);
      CHECK(all.step().verdict == Verdict::commit);
      CHECK(run.same_sums(all));
      CHECK(run.exchange->block_squares() == all.exchange->block_squares());
      ++run.now, ++all.now;
    }
  }
}

/// `early` hears of parts of layers and lets buckets pass at once, `late` does neither.
void check_same_sums(Run& early, Run& late, std::size_t first) {
  early.transport.lets_pass();
  late.says_so_far = false;
  for (std::size_t step = 0; step < 4; ++step) {
    for (Run* each : {&early, &late})
      if (step < first) CHECK(each->step().verdict == Verdict::redo);
    CHECK(early.step().verdict == Verdict::commit);
    CHECK(late.step().verdict == Verdict::commit);
    CHECK(early.same_sums(late));
    ++early.now, ++late.now;
  }
}

TEST_CASE("buckets that leave while their layer goes on have the sums of those that wait for the last") {
  for (const Way& way : ways()) {
    for (const bool one_each : {false, true})
      for (const bool scatter : {false, true}) {
        CAPTURE(way.algorithm, one_each, scatter);
        Run early(way, "none", world(), 0, scatter, one_each), late(way, "none", world(), 0, false, one_each);
        check_same_sums(early, late, 1);
      }
    if (way.kind != "cpu") continue;
    for (const std::string& compression : kCompressions) {
      CAPTURE(way.algorithm, compression);
      Run early(way, compression), late(way, compression);
      check_same_sums(early, late, first_steps(compression));
    }
  }
}

/// Which is a bucket here. Of a swap it may be the other word's.
std::int64_t wrong_block(Fault fault, std::uint32_t seed, std::size_t words) {
  const std::size_t block = place_of(seed, words) / kBlock + (fault == Fault::block_in_wrong_place ? 1 : 0);
  return static_cast<std::int64_t>(block % (words / kBlock));
}

TEST_CASE("wrong sums are noticed by every rank, and computing again mends them") {
  const bool scatter = GENERATE(false, true);
  for (const Way& way : ways()) {
    const std::uint32_t rounds = way.kind == "cpu" ? 350 : 10;  // a thousand over the algorithms
    Run run(way, "none", world(), 0, scatter), undisturbed(way);
    if (scatter && run.exchange->scattered.empty()) continue;
    if (world().size() == 1 && run.transport.hands_on()) continue;  // nothing travels
    for (Run* each : {&run, &undisturbed}) CHECK(each->step().verdict == Verdict::redo);
    std::uint32_t noticed = 0, named = 0, mended = 0;
    for (std::uint32_t round = 0; round < rounds; ++round, ++run.now, ++undisturbed.now) {
      const Fault fault = kFaults[round % std::size(kFaults)];
      const std::size_t words = static_cast<std::size_t>(run.store.values()), place = place_of(round, words);
      int victim = static_cast<int>(round / 10) % world().size();
      bool after = run.transport.hands_on() && round % 2 == 1;
      if (scatter && after) {  // what a rank has of others' slices is of no account then
        victim = run.owner_of(place);
        after = fault != Fault::block_in_wrong_place;
      }
      if (round == 0) run.step();  // so that there is something stale
      run.transport.damage_on(victim, fault, after, round);
      const StepOutcome outcome = run.step();
      noticed += outcome.verdict == Verdict::corrupt;
      named += (fault == Fault::two_words_swapped ||
                outcome.corruption.bucket == wrong_block(fault, round, words)) &&
               (outcome.corruption.rank == victim || (run.transport.hands_on() && !after));
      mended += run.step().verdict == Verdict::commit && undisturbed.step().verdict == Verdict::commit &&
                run.same_sums(undisturbed);
    }
    CAPTURE(way.algorithm, scatter);
    CHECK(noticed == rounds);
    CHECK(named == rounds);
    CHECK(mended == rounds);
  }
}

TEST_CASE("gradients that go wrong on their way into a fused sum are noticed, named and computed again") {
  if (world().size() == 1) return;  // nothing is handed on
  for (const bool scatter : {false, true}) {
    constexpr std::uint32_t rounds = 350;
    const Way way{"cpu", "shared"};
    Run run(way, "none", world(), 0, scatter, true), undisturbed(way, "none", world(), 0, scatter, true);
    REQUIRE(run.exchange->name() == "exact, fused");
    for (Run* each : {&run, &undisturbed}) CHECK(each->step().verdict == Verdict::redo);
    std::uint32_t noticed = 0, named = 0, mended = 0;
    for (std::uint32_t round = 0; round < rounds; ++round, ++run.now, ++undisturbed.now) {
      if (round == 0) run.step();  // so that there is something stale
      // A bucket is a block, which the last rank sums.
      const int victim = static_cast<int>(round / 10) % (world().size() - 1);
      const Fault fault = kFaults[round % std::size(kFaults)];
      run.transport.damage_on(victim, fault, false, round);
      const StepOutcome outcome = run.step();
      noticed += outcome.verdict == Verdict::corrupt;
      const std::size_t words = static_cast<std::size_t>(run.store.values());
      named += outcome.corruption.rank == victim &&
               (fault == Fault::two_words_swapped ||
                outcome.corruption.bucket == wrong_block(fault, round, words));
      mended += run.step().verdict == Verdict::commit && undisturbed.step().verdict == Verdict::commit &&
                run.same_sums(undisturbed);
    }
    CAPTURE(scatter);
    CHECK(noticed == rounds);
    CHECK(named == rounds);
    CHECK(mended == rounds);
  }
}

TEST_CASE("compressed gradients of any number of ranks are those of one, and so is what remains") {
  const std::unique_ptr<Communicator> alone = Communicator::alone(30);
  for (const std::string& compression : kCompressions)
    for (const Way& way : ways()) {
      if (way.kind != "cpu") continue;
      CAPTURE(compression, way.algorithm);
      Run run(way, compression), one({"cpu", "shared"}, compression, *alone);
      // An odd number of steps: it is then the turn of powersgd's right factors.
      for (std::size_t step = 0; step < 21; ++step, ++run.now, ++one.now) {
        for (Run* each : {&run, &one})
          if (step < first_steps(compression)) CHECK(each->step().verdict == Verdict::redo);
        REQUIRE(run.step().verdict == Verdict::commit);
        REQUIRE(one.step().verdict == Verdict::commit);
        REQUIRE(run.sums() == one.sums());
      }
      Snapshot whole, single;
      run.exchange->collect();
      SaveVisitor save(whole), save_one(single);
      run.exchange->visit(save);
      one.exchange->visit(save_one);
      CHECK(whole.digest("exchange/lane") == single.digest("exchange/lane"));
      CHECK(whole.digest("") == single.digest(""));
      bool any = false;  // something remains in every lane
      for (const NamedArray& array : whole.arrays)
        any = any || (array.name.starts_with("exchange/lane2") &&
                      std::ranges::any_of(array.bytes, [](std::byte b) { return b != std::byte{0}; }));
      CHECK(any);

      // Who starts from there goes on with the same bits.
      Run resumed(way, compression);
      LoadVisitor load(whole);
      resumed.exchange->visit(load);
      resumed.now = run.now;
      for (int step = 0; step < 5; ++step, ++run.now, ++resumed.now) {
        REQUIRE(run.step().verdict == Verdict::commit);
        REQUIRE(resumed.step().verdict == Verdict::commit);
        REQUIRE(run.sums() == resumed.sums());
      }
    }
}

TEST_CASE("wrong sums of codes are noticed, and computing again mends them and what remains") {
  for (const std::string& compression : kCompressions)
    for (const Way& way : ways()) {
      if (way.kind != "cpu") continue;
      constexpr std::uint32_t rounds = 60;
      // Words of topk are one block here, which has no wrong place to be in.
      const std::size_t faults = std::size(kFaults) - (compression == "topk" ? 1 : 0);
      Run run(way, compression), undisturbed(way, compression);
      if (world().size() == 1 && run.transport.hands_on()) continue;  // nothing travels
      for (Run* each : {&run, &undisturbed})
        for (std::size_t step = 0; step < std::max<std::size_t>(1, first_steps(compression)); ++step) {
          if (step < first_steps(compression)) CHECK(each->step().verdict == Verdict::redo);
          CHECK(each->step().verdict == Verdict::commit);
        }
      std::uint32_t noticed = 0, mended = 0;
      for (std::uint32_t round = 0; round < rounds; ++round) {
        ++run.now, ++undisturbed.now;
        run.transport.damage_on(static_cast<int>(round / 10) % world().size(), kFaults[round % faults],
                                run.transport.hands_on() && round % 2 == 1, round);
        noticed += run.step().verdict == Verdict::corrupt;
        mended += run.step().verdict == Verdict::commit && undisturbed.step().verdict == Verdict::commit &&
                  run.sums() == undisturbed.sums();
      }
      CAPTURE(compression, way.algorithm);
      CHECK(noticed == rounds);
      CHECK(mended == rounds);
    }
}
