// The choice of an algorithm, and ranks that stop: parts of comm_test.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "../src/comm/measured.hpp"
#include "catch.hpp"
#include "comm_testing.hpp"
#include "rondo/comm/transport.hpp"
#include "rondo/core/clock.hpp"

using namespace rondo;

TEST_CASE("auto: what was measured is kept, is the same on every rank, and a broken file does no harm") {
  const std::filesystem::path folder =
      world().gather_texts(fmt::format("/tmp/rondo-comm-test-{}", getpid()))[0];
  setenv("XDG_CACHE_HOME", folder.c_str(), 1);
  const auto contents = [&] {
    std::vector<std::string> all;
    if (std::filesystem::exists(folder / "rondo"))
      for (const auto& entry : std::filesystem::directory_iterator(folder / "rondo")) {
        std::ifstream file(entry.path());
        all.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
      }
    return all;
  };
  std::string first;
  for (const std::string damage : {"none", "empty", "cut", "other", "unwritable"}) {
    INFO(damage);
    if (world().rank() == 0 && damage != "none") {
      for (const auto& entry : std::filesystem::directory_iterator(folder / "rondo")) {
        const std::string whole = contents()[0];
        std::ofstream(entry.path()) << (damage == "empty" ? ""
                                        : damage == "cut" ? whole.substr(0, 40)
                                                          : "1 star\n");
      }
      if (damage == "unwritable") {
        std::filesystem::remove_all(folder);
        std::ofstream(folder) << "a file where a folder should be";
      }
    }
    const std::vector<Choice> choices = measured_choices(world());
    CHECK(!choices.empty());
    const std::string text = text_of_choices("here", choices);
    CHECK(choices_of_text("here", text).size() == choices.size());
    CHECK(choices_of_text("there", text).empty());
    CHECK(choices_of_text("here", text.substr(0, text.size() - 5)).empty());
    for (const std::string& other : world().gather_texts(text)) CHECK(other == text);
    if (world().rank() == 0 && damage != "unwritable") {
      REQUIRE(contents().size() == 1);
      CHECK(contents()[0].find(text.substr(text.find("here") + 5)) != std::string::npos);
    }
    const std::vector<Choice> again = measured_choices(world());  // from the file
    if (damage != "unwritable") CHECK(text_of_choices("here", again) == text);
  }
  const auto transport = make_transport("auto", world());
  const Arena arena = transport->allocate(500'000);
  for (const std::size_t size : {10, 3000, 40'000, 500'000}) {
    for (std::size_t i = 0; i < size; ++i) arena.own[i] = word(world().rank(), i);
    transport->start(arena, {0, size}, SumType::int32);
    transport->finish();
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < size; ++i) wrong += arena.own[i] != sum_of_words(i);
    CHECK(wrong == 0);
  }
  world().barrier();
  if (world().rank() == 0) std::filesystem::remove_all(folder);
}

TEST_CASE("auto: buckets are the larger the dearer messages are beside bytes, and never too small") {
  const auto line = [](double latency, double rate) {
    const auto time = [&](double bytes) { return latency + bytes / rate; };
    return std::vector<Choice>{{1 << 10, "tree", latency / 5, latency / 5},  // says nothing about large ones
                               {1 << 20, "ring", time(1 << 20), time(1 << 10)}};
  };
  constexpr std::size_t total = 40 << 20, least = 256 << 10;
  for (const double latency : {20e-6, 200e-6, 2e-3, 20e-3})
    for (const double rate : {5e6, 100e6, 1e9, 10e9}) {
      const double ideal = std::sqrt(static_cast<double>(total) * latency * rate);
      const auto bytes = static_cast<double>(best_bucket(line(latency, rate), total, least));
      CAPTURE(latency, rate, ideal, bytes);
      if (ideal < least)
        CHECK(bytes == least);
      else
        CHECK(std::fabs(std::log2(bytes / std::min<double>(ideal, total))) < 1.05);
    }
  CHECK(best_bucket(line(1e-3, 1e9), total, 0) > 0);
  CHECK(best_bucket({}, total, least) == least);
  CHECK(best_bucket(std::vector<Choice>{{0, "ring"}}, total, least) == least);
  CHECK(best_bucket(std::vector<Choice>{{1 << 10, "ring", 0.02, 0.02}}, total, least) == least);
  CHECK(best_bucket(std::vector<Choice>{{1 << 16, "ring", 0.0199, 0.02}}, total, least) == least);
}

void wait_for_file(const std::string& path) {
  const Deadline patience(20);
  while (!std::filesystem::exists(path) && !patience.passed())
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

TEST_CASE("a rank that does not come, or stops in mid-reduction, is an error after the deadline") {
  const int late = world().size() - 1;
  if (late == 0) return;
  // MPI may still write where a message that was given up was to go: that memory has to stay.
  static std::vector<std::unique_ptr<Transport>> given_up;
  enum class Stop { at_the_end, at_a_sum, in_a_sum, in_share };
  for (const std::string& algorithm : available_algorithms(world()))
    for (const Stop stop : {Stop::at_the_end, Stop::at_a_sum, Stop::in_a_sum, Stop::in_share}) {
      INFO(algorithm << ", case " << static_cast<int>(stop));
      std::vector<std::uint32_t> word = {1};
      std::string text;
      const std::string gone =
          world().gather_texts(fmt::format("/tmp/rondo-comm-test-{}-gone-", getpid()))[0];
      try {
        const auto comm = Communicator::world(30);
        Transport* const transport = given_up.emplace_back(make_transport(algorithm, *comm)).get();
        const Arena arena = transport->allocate(1 << 20);
        const std::array whole{WordRange{0, arena.own.size()}};
        transport->combine(word, {});  // all is well at first
        comm->set_timeout(0.15);
        const auto join = [&] {
          if (stop == Stop::at_the_end) return transport->combine(word, {});
          if (stop == Stop::in_share) return transport->share(arena, whole);
          transport->start(arena, {0, arena.own.size()}, SumType::int32);
          transport->finish();
        };
        if (world().rank() == late) {
          if (stop == Stop::in_a_sum) {
            transport->start(arena, {0, arena.own.size()}, SumType::int32);
            transport->progress();
            std::ofstream(gone + "late");
          }
          // In a sum, to wait by MPI would bring the sum forward.
          if (stop == Stop::in_a_sum)
            for (int other = 0; other < late; ++other) wait_for_file(gone + std::to_string(other));
          else
            world().barrier();
          try {  // what the others began still has to end, for the sake of MPI; that it may fail is no matter
            stop == Stop::in_a_sum ? transport->finish() : join();
          } catch (const Error&) {
          }
        } else {
          if (stop == Stop::in_a_sum) wait_for_file(gone + "late");
          const double begin = now_s();
          text = text_of_error(join);
          const double waited = now_s() - begin;
          CHECK(waited < 10);
          // Of a sum that was under way some may have all that they need.
          if (stop != Stop::in_a_sum || !text.empty()) {
            CHECK(waited > 0.12);
            CHECK(text.find("dead or stuck") != std::string::npos);
            CHECK_THROWS_AS(comm->barrier(), Error);  // nothing more is to be had from it
          }
          std::ofstream(gone + std::to_string(world().rank()));
          if (algorithm == "shared" && stop != Stop::in_a_sum)
            CHECK(text.find("rank(s) " + std::to_string(late) + " ") != std::string::npos);
          if (stop != Stop::in_a_sum) world().barrier();
        }
        CHECK(std::ranges::any_of(world().gather_texts(text),
                                  [](const std::string& one) { return !one.empty(); }));
        std::filesystem::remove(gone + (world().rank() == late ? "late" : std::to_string(world().rank())));
        throw Error("leave");  // a communicator that dies of an exception does not wait for its peers
      } catch (const Error& error) {
        CHECK(std::string(error.what()) == "leave");
      }
    }
}
