// The waterfall of a step against one drawn by hand.
#include "rondo/train/step_trace.hpp"

#include "catch.hpp"

using namespace rondo;

namespace {

constexpr double kUs = 1e-6;

Span span(SpanKind kind, double begin, double end, std::uint32_t bytes = 0) {
  return {kind, bytes, 0, begin * kUs, end * kUs};
}

// Two buckets and the control word. Rank 1 is 20 us late with all it does, then its message takes its time.
StepTrace two_ranks(double origin) {
  StepTrace trace(2);
  for (int rank = 0; rank < 2; ++rank) {
    const double o = origin + 20 * rank;
    trace[static_cast<std::size_t>(rank)] = {
        span(SpanKind::forward, o + 0, o + 40),
        span(SpanKind::bucket, o + 60, origin + 105, 4096),
        span(SpanKind::bucket, o + 95, origin + 130, 1024),
        span(SpanKind::backward, o + 40, o + 100),
        span(SpanKind::wait, o + 100, origin + 130),
        span(SpanKind::control, origin + 131 + 5 * rank, origin + 140),
        span(SpanKind::step, origin + 20 * rank, origin + 150),
    };
  }
  return trace;
}

}  // namespace

TEST_CASE("what of a bucket's time was hidden, spent on a late rank or on the way") {
  StepTrace trace = two_ranks(1e6);
  for (const double origin : {1.001e6, 1.002e6})
    for (std::size_t rank = 0; rank < 2; ++rank) {
      const StepTrace more = two_ranks(origin);
      trace[rank].insert(trace[rank].end(), more[rank].begin(), more[rank].end());
    }
  const std::vector<BucketFigures> found = waterfall(trace);
  const std::vector<BucketFigures> drawn = {
      // bytes, ready, done, hidden, transfer, skew
      {4096, 60, 105, 40, 5, 0},   // rank 1 had started it before rank 0 ran out of work
      {1024, 95, 130, 5, 15, 10},  // rank 1 starts it at 115, ten after the first bucket was done
      {0, 131, 140, 0, 4, 5},
  };
  REQUIRE(found.size() == drawn.size());
  for (std::size_t i = 0; i < drawn.size(); ++i) {
    CAPTURE(i);
    CHECK(found[i].bytes == drawn[i].bytes);
    for (double BucketFigures::*value : {&BucketFigures::ready, &BucketFigures::done, &BucketFigures::hidden,
                                         &BucketFigures::transfer, &BucketFigures::skew})
      CHECK(found[i].*value == Approx(drawn[i].*value).margin(0.01));
  }
}

TEST_CASE("without spans there is no waterfall") { CHECK(waterfall(StepTrace(2)).empty()); }
