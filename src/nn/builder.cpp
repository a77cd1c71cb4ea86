#include "builder.hpp"

#include <fmt/ranges.h>

#include <charconv>
#include <sstream>

#include "rondo/core/config.hpp"
#include "rondo/core/error.hpp"
#include "rondo/nn/layers.hpp"

namespace rondo {
namespace {

// One line, word by word. Widths are worked out from first to last before anything is constructed, because
// construction runs from last to first.
class Line {
 public:
  explicit Line(const std::string& text) : text_(text) {
    std::stringstream in(text);
    for (std::string word; in >> word;) words_.push_back(word);
  }

  [[noreturn]] void fail(const std::string& why) const {
    input_error("model.layers: \"{}\": {}", text_, why);
  }
  bool more() const { return at_ < words_.size(); }
  std::string word(const char* what) {
    if (!more()) fail(fmt::format("expected {} at the end", what));
    return words_[at_++];
  }
  template <class T>
  T number(const char* what, T low, T high) {
    const std::string text = word(what);
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || !(value >= low && value <= high))
      fail(fmt::format("{} must be a number from {} to {}, not {}", what, low, high, text));
    return value;
  }
  std::int64_t count(const char* what) { return number<std::int64_t>(what, 1, 1 << 24); }
  Activation activation() {
    if (!more()) return Activation::identity;
    const std::string name = word("an activation");
    if (name == "identity") return Activation::identity;
    if (name == "relu") return Activation::relu;
    if (name == "gelu") return Activation::gelu;
    if (name == "silu") return Activation::silu;
    fail(fmt::format("unknown activation {}; expected identity, relu, gelu or silu", name));
  }
  void done() const {
    if (more()) fail(fmt::format("nothing expected at {}", words_[at_]));
  }

 private:
  std::string text_;
  std::vector<std::string> words_;
  std::size_t at_ = 0;
};

struct Plan {
  std::function<LayerPtr()> make;
  Width out;
  double flops = 0;
  std::function<LayerPtr()> make_inner = nullptr;  // of a residual
  std::function<std::unique_ptr<LayerNorm>()> make_norm =
      nullptr;  // of a layer norm: a residual may take it in
};

struct Place {
  ParameterStore& store;
  std::string name;
  std::uint32_t number;
  bool first;
};

Plan plan_layer(Line& line, Width in, Place place) {
  const std::string kind = line.word("a layer");
  ParameterStore& store = place.store;
  const std::string name = place.name + "." + kind;
  if (kind == "linear") {
    const std::int64_t out = line.count("OUT");
    const Activation act = line.activation();
    return {[=, &store] { return std::make_unique<Linear>(store, name, in.cols, out, act); },
            {out, in.time},
            2.0 * static_cast<double>(in.time * in.cols * out)};
  }
  if (kind == "layer_norm") {
    const auto make = [=, &store] { return std::make_unique<LayerNorm>(store, name, in.cols); };
    return {make, in, 0, nullptr, make};
  }
  if (kind == "dropout") {
    const auto p = static_cast<real>(line.number<double>("P", 0.0, 0.99));
    return {[=] { return std::make_unique<Dropout>(place.number, p); }, in, 0};
  }
  if (kind == "embedding") {
    if (!place.first) line.fail("an embedding must be the first layer: it reads ids");
    const std::int64_t rows = line.count("ROWS"), dim = line.count("DIM");
    return {[=, &store] { return std::make_unique<Embedding>(store, name, rows, dim); },
            {in.cols * dim, in.time},
            0};
  }
  if (kind == "conv1d") {
    const std::int64_t out = line.count("OUT"), taps = line.count("TAPS"), dilation = line.count("DILATION");
    const Activation act = line.activation();
    return {[=, &store] { return std::make_unique<CausalConv1d>(store, name, in, out, taps, dilation, act); },
            {out, in.time},
            2.0 * static_cast<double>(in.time * in.cols * taps * out)};
  }
  if (kind == "sequence") {
    const std::int64_t channels = line.count("CHANNELS");
    if (in.time != 1 || in.cols % channels != 0)
      line.fail(fmt::format("{} values cannot be cut into steps of {} channels", in.cols, channels));
    return {[=] { return std::make_unique<Reshape>(channels); }, {channels, in.cols / channels}, 0};
  }
  if (kind == "flatten") {
    const std::int64_t cols = in.cols * in.time;
    return {[=] { return std::make_unique<Reshape>(cols); }, {cols, 1}, 0};
  }
  if (kind == "residual") {
    if (!line.more()) line.fail("expected a layer after residual");
    Plan inner = plan_layer(line, in, {store, name, place.number, false});
    if (inner.out.cols != in.cols || inner.out.time != in.time)
      line.fail(fmt::format("the layer gives {} columns, but a residual needs its {} back", inner.out.cols,
                            in.cols));
    return {[make = inner.make] { return std::make_unique<Residual>(make()); }, in, inner.flops, inner.make};
  }
  const std::vector<std::string> kinds = {"linear", "layer_norm", "dropout", "embedding",
                                          "conv1d", "sequence",   "flatten", "residual"};
  const std::string near = nearest(kind, kinds);
  line.fail(near.empty() ? fmt::format("unknown layer {}; expected one of {}", kind, fmt::join(kinds, ", "))
                         : fmt::format("unknown layer {}; did you mean {}?", kind, near));
}

}  // namespace

BuiltNetwork build_network(ParameterStore& store, const std::string& prefix,
                           const std::vector<std::string>& layers, std::int64_t inputs, std::int64_t outputs,
                           std::uint32_t first_number) {
  BuiltNetwork built;
  std::vector<Plan> plans;
  Width width{inputs, 1};
  const auto take = [&](const std::string& text) {
    Line line(text);
    const auto index = static_cast<std::uint32_t>(plans.size());
    plans.push_back(plan_layer(
        line, width, {store, fmt::format("{}layer{}", prefix, index), first_number + index, index == 0}));
    line.done();
    width = plans.back().out;
    built.forward_flops += plans.back().flops;
    if (built.first_flops == 0) built.first_flops = plans.back().flops;
  };
  for (const std::string& text : layers) take(text);
  if (width.time != 1) take("flatten");
  take(fmt::format("linear {}", outputs));
  std::vector<LayerPtr> reversed;
  for (auto plan = plans.rbegin(); plan != plans.rend(); ++plan) {
    const auto before = std::next(plan);
    if (plan->make_norm == nullptr || before == plans.rend() || before->make_inner == nullptr) {
      reversed.push_back(plan->make());
      continue;
    }
    auto norm = plan->make_norm();  // first: parameters are laid out as backward completes them
    reversed.push_back(std::make_unique<Residual>(before->make_inner(), std::move(norm)));
    plan = before;
  }
  built.root = std::make_unique<Sequential>(std::move(reversed));
  return built;
}

}  // namespace rondo
