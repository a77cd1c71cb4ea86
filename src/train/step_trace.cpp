#include "rondo/train/step_trace.hpp"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "rondo/core/error.hpp"
#include "rondo/train/step_bench.hpp"

namespace rondo {
namespace {

constexpr const char* kNames[] = {"step",   "data", "forward",      "backward",  "exchange",
                                  "bucket", "wait", "control word", "optimizer", "share weights"};

// The spans of one step on one rank.
struct Step {
  Span whole{};
  std::vector<Span> in_flight;  // buckets in order, then the control word
  double computed_until = 0;    // when the rank had nothing left but to wait
};

std::vector<Step> steps_of(const std::vector<Span>& spans) {
  std::vector<Step> steps;
  for (const Span& span : spans)
    if (span.kind == SpanKind::step) steps.push_back({span, {}, span.end_s});
  std::ranges::sort(steps, {}, [](const Step& step) { return step.whole.begin_s; });
  for (const Span& span : spans) {
    const auto after = std::ranges::upper_bound(steps, span.begin_s, {},
                                                [](const Step& step) { return step.whole.begin_s; });
    if (after == steps.begin() || span.begin_s > std::prev(after)->whole.end_s) continue;
    Step& step = *std::prev(after);
    if (span.kind == SpanKind::bucket || span.kind == SpanKind::control) step.in_flight.push_back(span);
    if (span.kind == SpanKind::wait) step.computed_until = span.begin_s;
  }
  for (Step& step : steps)  // control words come after the buckets of their pass
    std::ranges::stable_sort(step.in_flight, {}, [](const Span& span) { return span.end_s; });
  return steps;
}

}  // namespace

StepTrace gather_trace(const std::vector<Span>& mine, Communicator& comm) {
  const double ahead = comm.clock_ahead_s();
  std::string bytes(mine.size() * sizeof(Span), '\0');
  if (!mine.empty()) std::memcpy(bytes.data(), mine.data(), bytes.size());
  std::vector<std::string> aheads = comm.gather_texts(fmt::format("{:a}", ahead));
  StepTrace trace;
  for (const std::string& text : comm.gather_texts(bytes)) {
    std::vector<Span> spans(text.size() / sizeof(Span));
    if (!spans.empty()) std::memcpy(spans.data(), text.data(), text.size());
    const double offset = std::stod(aheads[trace.size()]);
    for (Span& span : spans) span.begin_s -= offset, span.end_s -= offset;
    trace.push_back(std::move(spans));
  }
  if (comm.rank() != 0) trace.clear();
  return trace;
}

std::vector<BucketFigures> waterfall(const StepTrace& trace) {
  std::vector<std::vector<Step>> ranks;
  for (const std::vector<Span>& spans : trace) ranks.push_back(steps_of(spans));
  std::map<std::size_t, std::vector<BucketFigures>> seen;  // by place in the step
  for (std::size_t s = 0; s < ranks.at(0).size(); ++s) {
    const Step& mine = ranks[0][s];
    double waited_until = mine.computed_until;
    for (std::size_t k = 0; k < mine.in_flight.size(); ++k) {
      const Span& span = mine.in_flight[k];
      double last_start = span.begin_s;
      for (const std::vector<Step>& steps : ranks)
        if (s < steps.size() && k < steps[s].in_flight.size())
          last_start = std::max(last_start, steps[s].in_flight[k].begin_s);
      const double exposed_from = std::max(waited_until, span.begin_s);
      const double exposed = std::max(0.0, span.end_s - exposed_from);
      const double skew = std::clamp(last_start - exposed_from, 0.0, exposed);
      seen[k].push_back({span.bytes, (span.begin_s - mine.whole.begin_s) * 1e6,
                         (span.end_s - mine.whole.begin_s) * 1e6,
                         std::max(0.0, std::min(span.end_s, mine.computed_until) - span.begin_s) * 1e6,
                         (exposed - skew) * 1e6, skew * 1e6});
      waited_until = std::max(waited_until, span.end_s);
    }
  }
  std::vector<BucketFigures> figures;
  for (const auto& [place, all] : seen) {
    if (all.size() < (seen[0].size() + 1) / 2) continue;  // of a step that was computed again
    BucketFigures& of = figures.emplace_back(BucketFigures{all[0].bytes});
    for (double BucketFigures::*value : {&BucketFigures::ready, &BucketFigures::done, &BucketFigures::hidden,
                                         &BucketFigures::transfer, &BucketFigures::skew}) {
      std::vector<double> values;
      for (const BucketFigures& one : all) values.push_back(one.*value);
      of.*value = median_with_limits(values).median;
    }
  }
  return figures;
}

void write_chrome_trace(const std::string& path, const StepTrace& trace) {
  double origin = std::numeric_limits<double>::infinity();
  for (const auto& spans : trace)
    for (const Span& span : spans) origin = std::min(origin, span.begin_s);
  auto events = nlohmann::json::array();
  for (std::size_t rank = 0; rank < trace.size(); ++rank) {
    events.push_back({{"ph", "M"},
                      {"name", "process_name"},
                      {"pid", rank},
                      {"args", {{"name", fmt::format("rank {}", rank)}}}});
    for (const Span& span : trace[rank]) {
      const char* name = kNames[static_cast<std::size_t>(span.kind)];
      nlohmann::json event = {
          {"name", name}, {"pid", rank}, {"tid", 0}, {"ts", (span.begin_s - origin) * 1e6}};
      if (span.kind != SpanKind::bucket) {
        event.update({{"ph", "X"}, {"dur", (span.end_s - span.begin_s) * 1e6}, {"args", {{"id", span.id}}}});
        events.push_back(event);
        continue;
      }
      // Buckets overlap one another without being nested: asynchronous events have rows of their own.
      event.update({{"ph", "b"},
                    {"cat", "bucket"},
                    {"id", fmt::format("{}.{}", rank, span.id)},
                    {"args", {{"bytes", span.bytes}, {"bucket", span.id}}}});
      events.push_back(event);
      event.update({{"ph", "e"}, {"ts", (span.end_s - origin) * 1e6}});
      events.push_back(event);
    }
  }
  std::ofstream out(path);
  out << nlohmann::json{{"traceEvents", events}, {"displayTimeUnit", "ms"}}.dump() << "\n";
  if (!out) input_error("--trace {}: cannot be written", path);
}

}  // namespace rondo
