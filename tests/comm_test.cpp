// Every rank runs every test; a rank that fails makes the others fail at their deadline.
#include <signal.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "../src/comm/peer_watch.hpp"
#include "catch.hpp"
#include "comm_testing.hpp"
#include "rondo/comm/communicator.hpp"
#include "rondo/comm/transport.hpp"
#include "rondo/core/clock.hpp"
#include "rondo/core/digest.hpp"
#include "rondo/core/error.hpp"
#include "rondo/core/huge_pages.hpp"
#include "rondo/core/philox.hpp"

using namespace rondo;

namespace {

/// A number below `limit`, another one on every rank and at every `count`.
std::uint32_t random_below(std::uint32_t limit, std::uint32_t count, bool common) {
  return RandomStream{7, Purpose::test, common ? 99u : static_cast<std::uint32_t>(world().rank())}.word(
             count) %
         limit;
}

void dawdle(std::uint32_t count) {
  const std::uint32_t us = random_below(400, count, false);
  if (us > 150) std::this_thread::sleep_for(std::chrono::microseconds(us));
}

bool same_everywhere(std::span<const std::uint32_t> words) {
  const std::vector<std::string> digests = world().gather_texts(digest_of(std::as_bytes(words)));
  return std::all_of(digests.begin(), digests.end(), [&](const std::string& d) { return d == digests[0]; });
}

}  // namespace

TEST_CASE("slices follow one another, cover the range and are cut at blocks") {
  for (const WordRange range :
       {WordRange{0, 0}, {5, 6}, {3, 1027}, {0, 1025}, {100, 100 + 7 * 1024}, {9, 1'000'003}})
    for (int size = 1; size <= 9; ++size) {
      std::size_t at = range.begin, least = range.size(), most = 0;
      for (int r = 0; r < size; ++r) {
        const WordRange slice = slice_of(range, r, size);
        CHECK(slice.begin == at);
        CHECK(((slice.begin - range.begin) % kSliceWords == 0 || slice.begin == range.end));
        at = slice.end;
        const std::size_t blocks = (slice.size() + kSliceWords - 1) / kSliceWords;
        least = std::min(least, blocks);
        most = std::max(most, blocks);
      }
      CHECK(at == range.end);
      CHECK(most - std::min(least, most) <= 1);
    }
}

TEST_CASE("the communicator's small calls") {
  Communicator& comm = world();
  const int n = comm.size(), me = comm.rank();
  // Hosts have names of their own: two_hosts.py runs this on two.
  char name[256] = "";
  REQUIRE(gethostname(name, sizeof name) == 0);
  const std::vector<std::string> hosts = comm.gather_texts(name);
  CHECK(comm.local_size() == std::count(hosts.begin(), hosts.end(), hosts[me]));
  CHECK(comm.local_rank() == std::count(hosts.begin(), hosts.begin() + me, hosts[me]));
  comm.barrier();

  std::vector<std::uint32_t> data(1000);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = word(me, i);
  comm.broadcast(std::as_writable_bytes(std::span(data)), n - 1);
  bool right = true;
  for (std::size_t i = 0; i < data.size(); ++i) right = right && data[i] == word(n - 1, i);
  CHECK(right);

  const std::vector<std::string> texts =
      comm.gather_texts(std::string(static_cast<std::size_t>(me) * 3, 'a' + me));
  REQUIRE(texts.size() == static_cast<std::size_t>(n));
  for (int r = 0; r < n; ++r) CHECK(texts[r] == std::string(static_cast<std::size_t>(r) * 3, 'a' + r));

  std::vector<std::uint64_t> sums = {~std::uint64_t{0} - me, std::uint64_t{1} << 63};
  std::uint64_t expected = 0;
  for (int r = 0; r < n; ++r) expected += ~std::uint64_t{0} - r;
  comm.sum(sums);
  CHECK(sums[0] == expected);
  CHECK(sums[1] == (n % 2 == 0 ? 0 : std::uint64_t{1} << 63));
  CHECK(mpi_version().find("MPI 3") != std::string::npos);
}

TEST_CASE("int32 sums are exact and leave their neighbours alone") {
  constexpr std::size_t kWords = (1 << 20) + 100;
  for (const std::string& algorithm : available_algorithms(world())) {
    INFO(algorithm);
    const auto transport = make_transport(algorithm, world());
    CHECK(transport->name() == algorithm);
    const Arena arena = transport->allocate(kWords);
    CHECK(arena.own.size() == kWords);
    CHECK(reinterpret_cast<std::uintptr_t>(arena.own.data()) % 64 == 0);
    CHECK(std::all_of(arena.own.begin(), arena.own.end(), [](std::uint32_t w) { return w == 0; }));
    std::uint32_t salt = 0;
    for (const std::size_t begin : {std::size_t{0}, std::size_t{17}})
      for (const std::size_t size : {0, 1, 3, 1000, 1024, 1025, 4103, 100'003, 1 << 20}) {
        ++salt;
        for (std::size_t i = 0; i < kWords; ++i) arena.own[i] = word(world().rank(), i, salt);
        const WordRange range{begin, begin + size};
        transport->start(arena, range, SumType::int32);
        transport->finish();
        std::size_t wrong = 0;
        for (std::size_t i = 0; i < kWords; ++i) {
          const bool inside = i >= range.begin && i < range.end;
          wrong += arena.own[i] != (inside ? sum_of_words(i, salt) : word(world().rank(), i, salt));
        }
        INFO("words [" << range.begin << ", " << range.end << ")");
        CHECK(wrong == 0);
      }
  }
}

TEST_CASE("many sums may be pending while ranks lag") {
  for (const std::string& algorithm : available_algorithms(world())) {
    INFO(algorithm);
    const auto transport = make_transport(algorithm, world());
    const Arena arenas[2] = {transport->allocate(150'000), transport->allocate(60'000)};
    std::uint32_t count = 0;
    for (std::uint32_t round = 0; round < 12; ++round) {
      for (const Arena& arena : arenas) {
        for (std::size_t begin = 0; begin < arena.own.size();) {
          // Written here: a peer may still be busy with the ranges before.
          const std::size_t end = std::min(arena.own.size(), begin + 1 + random_below(20'000, ++count, true));
          dawdle(count);
          for (std::size_t i = begin; i < end; ++i) arena.own[i] = word(world().rank(), i, round);
          transport->start(arena, {begin, end}, SumType::int32);
          if (random_below(3, count, false) == 0) transport->progress();
          begin = end;
        }
      }
      if (round % 2 == 0) {
        transport->finish();
      } else {
        const Deadline deadline(30);
        while (!transport->progress() && !deadline.passed()) std::this_thread::yield();
      }
      CHECK(transport->progress());
      std::size_t wrong = 0;
      for (const Arena& arena : arenas)
        for (std::size_t i = 0; i < arena.own.size(); ++i) wrong += arena.own[i] != sum_of_words(i, round);
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("float32 sums have the same bits on every rank") {
  for (const std::string& algorithm : available_algorithms(world())) {
    INFO(algorithm);
    const auto transport = make_transport(algorithm, world());
    const Arena arena = transport->allocate(400'000);
    auto* values = reinterpret_cast<float*>(arena.own.data());
    const auto value = [](int rank, std::size_t i) {
      return std::ldexp(static_cast<float>(word(rank, i) >> 8), -(rank * 3));
    };
    for (const WordRange range : {WordRange{0, 400'000}, {5, 12}, {3, 5000}, {1, 70'001}}) {
      for (std::size_t i = 0; i < arena.own.size(); ++i) values[i] = value(world().rank(), i);
      transport->start(arena, range, SumType::float32);
      transport->finish();
      CHECK(same_everywhere(arena.own.subspan(range.begin, range.size())));
      std::size_t wrong = 0;
      for (std::size_t i = range.begin; i < range.end; ++i) {
        double sum = 0;
        for (int r = 0; r < world().size(); ++r) sum += value(r, i);
        wrong += std::abs(values[i] - sum) > 1e-6 * sum;
      }
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("sums for the owners of slices, which they then share") {
  for (const std::string& algorithm : available_algorithms(world())) {
    INFO(algorithm);
    const auto transport = make_transport(algorithm, world());
    const Arena arena = transport->allocate(400'000);
    std::uint32_t salt = 0;
    for (int round = 0; round < 3; ++round) {
      const std::vector<WordRange> ranges = {
          {0, 1}, {2, 5000}, {5000, 5017}, {6000, 300'000}, {300'000, 399'999}};
      ++salt;
      for (std::size_t i = 0; i < arena.own.size(); ++i) arena.own[i] = word(world().rank(), i, salt);
      for (const WordRange range : ranges) {
        dawdle(++salt);
        transport->start(arena, range, SumType::int32, SumTo::owners);
      }
      salt -= static_cast<std::uint32_t>(ranges.size());
      transport->finish();
      std::size_t wrong = 0;
      for (const WordRange range : ranges) {
        const WordRange own = slice_of(range, world().rank(), world().size());
        for (std::size_t i = own.begin; i < own.end; ++i) wrong += arena.own[i] != sum_of_words(i, salt);
      }
      CHECK(wrong == 0);
      transport->share(arena, ranges);
      for (std::size_t i = 0, r = 0; i < arena.own.size(); ++i) {
        while (r < ranges.size() && i >= ranges[r].end) ++r;
        const bool inside = r < ranges.size() && i >= ranges[r].begin;
        wrong += arena.own[i] != (inside ? sum_of_words(i, salt) : word(world().rank(), i, salt));
      }
      CHECK(wrong == 0);
      transport->combine({}, {});  // until then ranks may still read each other's slices
    }
  }
}

TEST_CASE("work on slices runs once for each slice, after all ranks have started") {
  for (const std::string& algorithm : available_algorithms(world())) {
    INFO(algorithm);
    const auto transport = make_transport(algorithm, world());
    const Arena arena = transport->allocate(50'000);
    if (arena.peers.empty()) {
      CHECK_THROWS_AS(transport->start({0, 10}, [](WordRange) {}), Error);
      continue;
    }
    REQUIRE(arena.peers.size() == static_cast<std::size_t>(world().size()));
    CHECK(arena.peers[world().rank()] == arena.own.data());
    std::uint32_t salt = 0;
    for (const WordRange range : {WordRange{0, 50'000}, {7, 9}, {100, 3000}, {11, 40'011}}) {
      ++salt;
      dawdle(salt);
      for (std::size_t i = 0; i < arena.own.size(); ++i) arena.own[i] = word(world().rank(), i, salt);
      int calls = 0;
      transport->start(range, [&](WordRange slice) {
        ++calls;
        CHECK(slice == slice_of(range, world().rank(), world().size()));
        for (std::size_t i = slice.begin; i < slice.end; ++i) {
          std::uint32_t sum = 1;  // so that a second run would show
          for (const std::uint32_t* peer : arena.peers) sum += peer[i];
          for (std::uint32_t* peer : arena.peers) peer[i] = sum;
        }
      });
      transport->finish();
      CHECK(calls == 1);
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < arena.own.size(); ++i) {
        const bool inside = i >= range.begin && i < range.end;
        wrong += arena.own[i] != (inside ? sum_of_words(i, salt) + 1 : word(world().rank(), i, salt));
      }
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("shared arenas hold every owner's slice") {
  for (const std::string& algorithm : available_algorithms(world())) {
    INFO(algorithm);
    const auto transport = make_transport(algorithm, world());
    const Arena own = transport->allocate(20'000), common = transport->allocate_common(20'000);
    CHECK(transport->shares_memory() == !own.peers.empty());
    const std::vector<WordRange> ranges{
        {0, 3 * kSliceWords}, {3 * kSliceWords, 4 * kSliceWords}, {5000, 20'000}};
    for (std::uint32_t round = 0; round < 40; ++round) {
      const Arena& arena = round % 2 == 0 ? own : common;
      const int outside =
          arena.id == own.id ? world().rank() : 0;  // of all ranges: the rank's own, or common
      dawdle(round);
      for (const WordRange range : ranges) {
        const WordRange mine = slice_of(range, world().rank(), world().size());
        for (std::size_t i = mine.begin; i < mine.end; ++i) arena.own[i] = word(0, i, round);
      }
      if (outside == world().rank()) arena.own[4500] = word(outside, 1, round);
      transport->share(arena, ranges);
      std::size_t wrong = 0;
      if (outside == world().rank()) wrong += arena.own[4500] != word(outside, 1, round);
      for (const WordRange range : ranges)
        for (std::size_t i = range.begin; i < range.end; ++i) wrong += arena.own[i] != word(0, i, round);
      CHECK(wrong == 0);
      transport->combine({}, {});
    }
  }
}

TEST_CASE("where ranks share memory a common arena is the same memory on all of them") {
  if (!world().single_node()) return;
  const auto transport = make_transport("shared", world());
  const Arena arena = transport->allocate_common(5000);
  REQUIRE(arena.own.size() == 5000);
  CHECK(std::ranges::all_of(arena.own, [](std::uint32_t word) { return word == 0; }));
  transport->combine({}, {});
  if (world().rank() == world().size() - 1) arena.own[4999] = 7;
  transport->share(arena, {});  // nothing to give, but all have written
  CHECK(arena.own[4999] == 7);
  CHECK_THROWS_AS(transport->start(arena, {0, 5000}, SumType::int32), Error);
}

TEST_CASE("large arenas of ranks that share memory lie where huge pages can") {
  if (!world().single_node()) return;
  const auto transport = make_transport("shared", world());
  for (const std::size_t words : {std::size_t{1} << 20, (std::size_t{1} << 20) + 1000}) {
    const Arena arena = transport->allocate(words), common = transport->allocate_common(words);
    CHECK(reinterpret_cast<std::uintptr_t>(arena.peers.front()) % kHugePage == 0);
    CHECK(reinterpret_cast<std::uintptr_t>(common.own.data()) % kHugePage == 0);
    CHECK(arena.own[words - 1] == 0);
    CHECK(common.own[words - 1] == 0);
  }
}

TEST_CASE("waiting for a late rank is counted") {
  if (world().size() == 1) return;
  for (const char* algorithm : {"auto", "ring"}) {
    INFO(algorithm);
    const auto transport = make_transport(algorithm, world());
    std::uint32_t one = 1, most = 0;
    world().barrier();
    const double before = world().waited_s();
    const bool late = world().rank() == 0;
    if (late) std::this_thread::sleep_for(std::chrono::milliseconds(400));
    transport->combine({&one, 1}, {&most, 1});
    CHECK((world().waited_s() - before < 0.2) == late);
  }
}

TEST_CASE("the end of a step: sums and maxima") {
  const int n = world().size(), me = world().rank();
  for (const std::string& algorithm : available_algorithms(world())) {
    INFO(algorithm);
    const auto transport = make_transport(algorithm, world());
    std::uint32_t round = 0;
    for (const std::size_t size : {3, 3, 0, 1, 700, 20'000, 5, 9, 90'000, 2, 2, 2, 2}) {
      ++round;
      dawdle(round);
      std::vector<std::uint32_t> sums(size), maxima(size / 2 + 1);
      for (std::size_t i = 0; i < size; ++i) sums[i] = word(me, i, round);
      for (std::size_t i = 0; i < maxima.size(); ++i) maxima[i] = word(me, i, round + 50);
      transport->combine(sums, maxima);
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < size; ++i) wrong += sums[i] != sum_of_words(i, round);
      for (std::size_t i = 0; i < maxima.size(); ++i) {
        std::uint32_t most = 0;
        for (int r = 0; r < n; ++r) most = std::max(most, word(r, i, round + 50));
        wrong += maxima[i] != most;
      }
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("a rank that hurries to the next end of a step does not disturb one that still reads the last") {
  for (const std::string& algorithm : available_algorithms(world())) {
    INFO(algorithm);
    const auto transport = make_transport(algorithm, world());
    std::vector<std::uint32_t> sums(3000);
    std::size_t wrong = 0;
    for (std::uint32_t round = 0; round < 300; ++round) {
      for (std::size_t i = 0; i < sums.size(); ++i) sums[i] = word(world().rank(), i, round);
      transport->combine(sums, {});
      for (std::size_t i = 0; i < sums.size(); ++i) wrong += sums[i] != sum_of_words(i, round);
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("what cannot work is refused, on all ranks, and says why") {
  CHECK_THROWS_AS(make_transport("star", world()), InputError);
  if (!world().single_node()) CHECK_THROWS_AS(make_transport("shared", world()), InputError);
  const auto transport = make_transport(world().single_node() ? "shared" : "hierarchical", world());
  const Arena arena = transport->allocate(10);
  CHECK_THROWS_AS(transport->start(arena, {0, 11}, SumType::int32), Error);
  const bool nothing_shared = world().size() == (world().single_node() ? 1 : 2);
  if (nothing_shared) return;

  struct statvfs space {};
  REQUIRE(statvfs("/dev/shm", &space) == 0);
  const std::size_t too_much = space.f_blocks * space.f_frsize / 4 + 1024;
  CHECK_THROWS_AS(transport->allocate(too_much), InputError);
  CHECK(text_of_error([&] { transport->allocate(too_much); }).find("exchange.algorithm = \"ring\"") !=
        std::string::npos);
  arena.own[0] = 1;  // and the transport still works
  transport->start(arena, {0, 10}, SumType::int32);
  transport->finish();
  CHECK(arena.own[0] == static_cast<std::uint32_t>(world().size()));
}

TEST_CASE("a process that has died is seen at once") {
  const std::string card = PeerWatch::card();
  const pid_t child = fork();
  if (child == 0) {
    for (;;) pause();
  }
  REQUIRE(child > 0);
  const PeerWatch watch({card, "elsewhere 1", card.substr(0, card.find(' ') + 1) + std::to_string(child)}, 0);
  CHECK(watch.first_dead() == -1);
  kill(child, SIGKILL);
  const Deadline deadline(10);
  while (watch.first_dead() == -1 && !deadline.passed()) std::this_thread::yield();
  CHECK(watch.first_dead() == 2);  // nobody has waited for it: a zombie counts as dead
  waitpid(child, nullptr, 0);
}
