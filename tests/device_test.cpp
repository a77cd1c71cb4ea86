// Which device a rank gets, and what it is told where there is none.
#include <cstdlib>

#include "catch.hpp"
#include "rondo/core/error.hpp"
#include "rondo/device/backend.hpp"

using namespace rondo;

namespace {

std::string refusal(DeviceOptions options, int local_rank, int local_size) {
  try {
    make_backend(options, local_rank, local_size);
  } catch (const InputError& e) {
    return e.what();
  }
  return "";
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

bool skipped(bool condition, const std::string& why) {
  if (condition) WARN("skipped: " + why);
  return condition;
}

}  // namespace

TEST_CASE("auto takes a card where there is one, else the cpu, and says which it took") {
  DeviceOptions options;
  const auto backend = make_backend(options);
  CHECK(options.kind == (why_not("cuda").empty() ? "cuda" : "cpu"));
  CHECK(backend->name() == options.kind);
  CHECK(contains(backend->numerics(), "probe"));
}

TEST_CASE("cuda without a card is refused with the reason and a remedy") {
  const std::string reason = why_not("cuda");
  if (skipped(reason.empty(), "a card can be used here")) return;
  const std::string text = refusal({"cuda", 1}, 0, 1);
  CHECK(contains(text, reason));
  CHECK(contains(text, "use \"cpu\" or \"auto\""));
}

TEST_CASE("ranks do not share a card") {
  if (skipped(!why_not("cuda").empty(), why_not("cuda"))) return;
  if (skipped(getenv("CUDA_VISIBLE_DEVICES") != nullptr, "CUDA_VISIBLE_DEVICES is set")) return;
  const std::string text = refusal({"cuda", 1}, 0, 1000);
  CHECK(contains(text, "for 1000 rank(s)"));
  CHECK(contains(text, "one rank a GPU"));
}
