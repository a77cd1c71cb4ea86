#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <set>
#include <vector>

#include "catch.hpp"
#include "rondo/core/config.hpp"
#include "rondo/core/digest.hpp"
#include "rondo/core/error.hpp"
#include "rondo/core/huge_pages.hpp"
#include "rondo/core/philox.hpp"
#include "rondo/core/quicker.hpp"
#include "rondo/core/shuffle.hpp"
#include "rondo/core/state.hpp"

using namespace rondo;

namespace {

std::vector<std::int64_t> shuffled(std::int64_t size, std::uint32_t epoch) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(size));
  std::iota(order.begin(), order.end(), 0);
  permute(order, size, 7, epoch);
  return order;
}

}  // namespace

TEST_CASE("Philox gives the known answers of its authors' test vectors") {
  // kat_vectors of Random123 1.14: philox4x32-10
  CHECK(philox({0, 0, 0, 0}, 0, 0) == PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox({~0u, ~0u, ~0u, ~0u}, ~0u, ~0u) ==
        PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0) ==
        PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("the shuffle is a permutation at every size and differs between epochs") {
  for (const std::int64_t size : {1, 2, 3, 5, 16, 17, 1000}) {
    const std::vector<std::int64_t> order = shuffled(size, 3);
    const std::set<std::int64_t> seen(order.begin(), order.end());
    CHECK(std::ssize(seen) == size);
    CHECK((*seen.begin() == 0 && *seen.rbegin() == size - 1));
  }
  const std::vector<std::int64_t> one = shuffled(1000, 0), other = shuffled(1000, 1);
  int same = 0;
  for (std::size_t i = 0; i < one.size(); ++i) same += one[i] == other[i];
  CHECK(same < 20);
}

TEST_CASE("the shuffle stays what checkpoints were trained with, whoever asks for how much of it") {
  const std::vector<std::int64_t> order = shuffled(1000, 3);
  const std::int64_t of_hundreds[] = {635, 38, 411, 456, 308, 809, 336, 392, 348, 817};
  for (std::size_t i = 0; i < std::size(of_hundreds); ++i) CHECK(order[100 * i] == of_hundreds[i]);
  for (std::size_t i = 0; i < order.size(); i += 37) {
    std::int64_t alone = static_cast<std::int64_t>(i);
    permute({&alone, 1}, 1000, 7, 3);
    CHECK(alone == order[i]);
  }
  std::int64_t large[] = {0, 4};
  permute(large, std::int64_t{1} << 40, 7, 3);
  CHECK((large[0] == 189819643671 && large[1] == 936266502050));
}

TEST_CASE("normal numbers have mean 0 and variance 1") {
  const RandomStream stream{42, Purpose::test, 0, 0};
  double sum = 0, squares = 0;
  for (int i = 0; i < 100000; ++i) {
    const double x = stream.normal(static_cast<std::uint64_t>(i));
    sum += x, squares += x * x;
  }
  CHECK(sum / 1e5 == Approx(0).margin(0.015));
  CHECK(squares / 1e5 == Approx(1).epsilon(0.02));
}

namespace {
struct Options {
  std::int64_t steps = 10;
  double rate = 0.5;
  bool loud = false;
  std::string kind = "auto";
  std::vector<std::int64_t> sizes = {1, 2};
  std::vector<std::string> names;
  void visit(Fields& f) {
    f.field("train.steps", steps, {1, 100}, Effect::bits, "steps");
    f.field("train.rate", rate, {0, 1}, Effect::bits, "rate");
    f.field("train.loud", loud, Effect::operational, "loud");
    f.field("device.kind", kind, "auto|cpu", Effect::operational, "kind");
    f.field("model.sizes", sizes, {1, 9}, Effect::bits, "sizes");
    f.field("data.names", names, Effect::bits, "names");
  }
};

std::string complaint(const std::string& text, const std::vector<std::string>& overrides = {}) {
  try {
    Options options;
    ConfigReader reader = ConfigReader::from_text(text, "x.toml", overrides);
    options.visit(reader);
    reader.finish();
  } catch (const InputError& e) {
    return e.what();
  }
  return "";
}
}  // namespace

TEST_CASE("a config error names file, line, expectation and the nearest key") {
  CHECK(complaint("[train]\nstep = 3\n") == "x.toml:2: unknown key train.step; did you mean train.steps?");
  CHECK(complaint("[train]\nsteps = 'a'\n") == "x.toml:2: train.steps must be an integer, not \"a\"");
  CHECK(complaint("[train]\nsteps = 0\n") == "x.toml:2: train.steps must be between 1 and 100, not 0");
  CHECK(complaint("[train]\nloud = 1\n") == "x.toml:2: train.loud must be true or false, not 1");
  CHECK(complaint("[device]\nkind = 'tpu'\n") ==
        "x.toml:2: device.kind must be one of auto, cpu, not \"tpu\"");
  CHECK(complaint("[model]\nsizes = [1, 'b']\n") ==
        "x.toml:2: model.sizes must be a list of integers, not [ 1, 'b' ]");
  CHECK(complaint("[train\n").starts_with("x.toml:1: not valid TOML"));
  CHECK(complaint("", {"train.stepz=3"}) ==
        "--set train.stepz: unknown key train.stepz; did you mean train.steps?");
  CHECK(complaint("", {"train.steps=x"}) == "--set train.steps: train.steps must be an integer, not \"x\"");
  CHECK(complaint("", {"train.steps"}).starts_with("--set train.steps: expected key=value"));
  CHECK(complaint("[train]\nsteps = 3\n").empty());
}

TEST_CASE("the resolved config reads back to the same values, and --set wins over the file") {
  Options options;
  ConfigReader reader =
      ConfigReader::from_text("[train]\nrate = 0.1\n[device]\nkind='cpu'\n", "x.toml",
                              {"train.steps=7", "device.kind=auto", "data.names=['a \"b\"']"});
  options.visit(reader);
  reader.finish();
  CHECK(options.steps == 7);
  CHECK(options.kind == "auto");
  ConfigWriter writer;
  options.visit(writer);
  Options again;
  ConfigReader second = ConfigReader::from_text(writer.toml(), "resolved.toml");
  again.visit(second);
  second.finish();
  CHECK(again.rate == 0.1);
  CHECK(again.names == std::vector<std::string>{"a \"b\""});
  ConfigWriter rewritten;
  again.visit(rewritten);
  CHECK(rewritten.toml() == writer.toml());
}

TEST_CASE("state is restored as saved, and a changed shape is refused by name") {
  std::vector<float> weights = {1, 2, 3};
  std::int64_t step = 5;
  const std::vector<std::int64_t> shape = {3}, other = {3, 1};
  Snapshot snapshot;
  SaveVisitor save(snapshot, "p/");
  save.floats("w", weights, shape);
  save.scalar("step", step);
  std::vector<float> loaded(3);
  LoadVisitor load(snapshot, "p/");
  load.floats("w", loaded, shape);
  CHECK(loaded == weights);
  CHECK(snapshot.integer("p/step") == 5);
  CHECK_THROWS_AS(load.floats("w", loaded, other), InputError);
  CHECK_THROWS_AS(load.floats("v", loaded, shape), InputError);
  const std::string before = snapshot.digest("p/");
  snapshot.arrays[0].bytes[0] ^= std::byte{1};
  CHECK(snapshot.digest("p/") != before);
}

TEST_CASE("the digest is BLAKE2b") {
  // b2sum -l 128 of "abc"
  CHECK(digest_of(std::as_bytes(std::span("abc", 3))) == "cf4ab791c62b8d2b2109c90275287816");
}

TEST_CASE("the quicker way is taken nearly always, whichever it is and when it changes") {
  Quicker choice;
  int taken[2] = {0, 0};
  const auto work = [&](int times, std::array<double, 2> seconds) {
    taken[0] = taken[1] = 0;
    for (int i = 0; i < times; ++i) {
      const int way = choice.way();
      ++taken[way];
      choice.took(seconds[static_cast<std::size_t>(way)]);
    }
  };
  work(320, {1, 3});
  CHECK(taken[1] == 11);  // the first time to know it
  work(320, {8, 3});      // the way that is taken has become slow: seen soon
  CHECK(taken[0] < 13);
  work(320, {1, 3});  // the other one has become quick: seen when it is tried
  CHECK(taken[1] < 32 + 10);
}

TEST_CASE("memory may become huge pages, whose bytes stay, and grows by at most an eighth for it") {
  constexpr std::size_t mib = std::size_t{1} << 20;
  CHECK(whole_huge_pages(0) == 0);
  CHECK(whole_huge_pages(4096) == 4096);
  CHECK(whole_huge_pages(15 * mib) == 16 * mib);
  CHECK(whole_huge_pages(7 * mib) == 7 * mib);
  constexpr std::size_t size = 7 * mib;  // of a file, with half a huge page at the end
  const int file = memfd_create("rondo-core-test", 0);
  REQUIRE(ftruncate(file, size) == 0);
  void* const room = mmap(nullptr, size + kHugePage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  auto* const aligned = static_cast<std::byte*>(room) + -reinterpret_cast<std::uintptr_t>(room) % kHugePage;
  REQUIRE(mmap(aligned, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0) != MAP_FAILED);
  const std::span memory(aligned, size);
  for (std::size_t i = 0; i < size; ++i) memory[i] = static_cast<std::byte>(i * i >> 7);
  collapse_to_huge_pages(memory, mib, 3 * mib);  // [2, 4)
  collapse_to_huge_pages(memory, 3 * mib, size);
  bool same = true;
  for (std::size_t i = 0; i < size; ++i) same = same && memory[i] == static_cast<std::byte>(i * i >> 7);
  CHECK(same);
  munmap(room, size + kHugePage);
  close(file);
}
