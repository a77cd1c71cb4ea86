// Who has which slice: at the start, and after deaths.
#include "rondo/survive/mirrors.hpp"

#include <algorithm>
#include <set>

#include "catch.hpp"
#include "rondo/core/error.hpp"

using namespace rondo;

namespace {

Roster ranks_of(const std::string& hosts) {  // a letter a rank
  std::vector<std::string> names;
  for (const char host : hosts) names.emplace_back(1, host);
  return {names, 0};
}

std::vector<int> mirrored(const Roster& ranks) {
  const Mirrors mirrors(ranks);
  std::vector<int> slices;
  for (int rank = 0; rank < ranks.size(); ++rank) slices.push_back(mirrors.mirrored(rank));
  return slices;
}

// No more ranks can have another host's slice than there are ranks of other hosts.
int most_elsewhere(const std::string& hosts) {
  std::ptrdiff_t largest = 0;
  for (const char host : hosts) largest = std::max(largest, std::ranges::count(hosts, host));
  return static_cast<int>(std::min(std::ssize(hosts), 2 * (std::ssize(hosts) - largest)));
}

std::string problem(const Mirrors& mirrors, const Roster& left) {
  try {
    mirrors.holders(left);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

bool says(const std::string& text, std::string_view part) { return text.find(part) != text.npos; }

}  // namespace

TEST_CASE("Every slice has a mirror, on another host wherever that can be") {
  for (const std::string hosts :
       {"aa",      "ab",      "aaa",      "aab",      "aba",        "abc",         "aaaa",
        "aabb",    "abab",    "aaab",     "baaa",     "aabc",       "abcd",        "aaaaa",
        "aaabb",   "ababa",   "aabbc",    "abbcc",    "aaaabc",     "aabbcc",      "abcabc",
        "aaabbbc", "cbbbaaa", "aaaaabbc", "aaaabbbb", "abbbbbbbbc", "aaabbbcccddd"}) {
    INFO(hosts);
    const Roster ranks = ranks_of(hosts);
    const std::vector<int> slices = mirrored(ranks);
    CHECK(std::set<int>(slices.begin(), slices.end()).size() == hosts.size());
    int elsewhere = 0;
    for (int rank = 0; rank < ranks.size(); ++rank) {
      const int slice = slices[static_cast<std::size_t>(rank)];
      CHECK(slice != rank);
      elsewhere += ranks.host(rank) != ranks.host(slice) ? 1 : 0;
    }
    CHECK(elsewhere == most_elsewhere(hosts));
    CHECK(mirrored(ranks) == slices);
  }
}

TEST_CASE("Where it can be, two ranks mirror each other") {
  for (const std::string hosts : {"aa", "aaaa", "aabb", "abab", "abcd", "aaaaaa", "aabbcc", "aaabbc"}) {
    INFO(hosts);
    const std::vector<int> slices = mirrored(ranks_of(hosts));
    for (int rank = 0; rank < static_cast<int>(slices.size()); ++rank)
      CHECK(slices[static_cast<std::size_t>(slices[static_cast<std::size_t>(rank)])] == rank);
  }
}

TEST_CASE("The owner has a slice, or else its mirror, by the ranks that they have now") {
  Roster ranks = ranks_of("aaaa");
  const Mirrors mirrors(ranks);  // 0 and 2, 1 and 3
  CHECK(mirrors.holders(ranks) == std::vector{0, 1, 2, 3});
  ranks.lose(std::vector{2});
  CHECK(mirrors.holders(ranks) == std::vector{0, 1, 0, 2});
  ranks.lose(std::vector{1});
  CHECK(mirrors.holders(ranks) == std::vector{0, 1, 0, 1});
}

TEST_CASE("Two deaths that leave both slices' mirrors at once") {
  Roster ranks = ranks_of("aabb");
  const Mirrors mirrors(ranks);
  ranks.lose(std::vector{0, 1});  // the whole host
  CHECK(mirrors.holders(ranks) == std::vector{0, 1, 0, 1});
}

TEST_CASE("Slices of which both copies are gone are an error that names the ranks") {
  Roster ranks = ranks_of("aaaa");
  const Mirrors mirrors(ranks);
  ranks.lose(std::vector{3});
  ranks.lose(std::vector{1});
  const std::string text = problem(mirrors, ranks);
  CHECK(says(text, "ranks 1 and 3 are lost"));
  CHECK(says(text, "slices 1 and 3 (of 4)"));
  CHECK(says(text, "--resume"));
  Roster three = ranks_of("aaa");  // 0 has slice 1 too, 1 has 2, 2 has 0
  const Mirrors circle(three);
  three.lose(std::vector{0, 1});
  CHECK(says(problem(circle, three), "ranks 0 and 1 are lost"));
  CHECK(says(problem(circle, three), "slices 1 (of 3)"));
}

TEST_CASE("Names are those that ranks had at the start, whatever has happened since") {
  Roster ranks = ranks_of("aaaaa");
  ranks.lose(std::vector{0});
  const Mirrors mirrors(ranks);  // seats 1 and 3, 2 and 4
  ranks.lose(std::vector{1});
  CHECK(mirrors.holders(ranks) == std::vector{1, 0, 1, 2});
  ranks.lose(std::vector{3});
  CHECK(says(problem(mirrors, ranks), "ranks 1 and 3 are lost"));
}
