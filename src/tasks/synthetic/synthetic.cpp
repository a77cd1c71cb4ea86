#include "synthetic.hpp"

#include <algorithm>

#include "rondo/core/error.hpp"
#include "rondo/core/philox.hpp"

namespace rondo {
namespace {

// Inputs uniform in [-1, 1); target h is the mean of every targets-th input from h on.
class Samples : public Dataset {
 public:
  Samples(std::int64_t size, std::int64_t inputs, std::int64_t targets, std::uint32_t split)
      : size_(size), inputs_(inputs), targets_(targets) {
    x_.resize(static_cast<std::size_t>(size * inputs));
    y_.resize(static_cast<std::size_t>(size * targets));
    const RandomStream stream{1, Purpose::data, split, 0};
    for (std::size_t i = 0; i < x_.size(); ++i) x_[i] = 2 * stream.uniform(i) - 1;
    for (std::int64_t s = 0; s < size; ++s)
      for (std::int64_t h = 0; h < targets; ++h) {
        float sum = 0;
        std::int64_t n = 0;
        for (std::int64_t i = h % inputs; i < inputs; i += targets, ++n)
          sum += x_[static_cast<std::size_t>(s * inputs + i)];
        y_[static_cast<std::size_t>(s * targets + h)] = sum / static_cast<float>(n);
      }
  }
  std::int64_t size() const override { return size_; }
  std::int64_t inputs() const override { return inputs_; }
  std::int64_t targets() const override { return targets_; }
  void get(std::int64_t i, std::span<float> input, std::span<float> target,
           std::span<float> weight) const override {
    std::copy_n(x_.begin() + i * inputs_, inputs_, input.begin());
    std::copy_n(y_.begin() + i * targets_, targets_, target.begin());
    std::ranges::fill(weight, 1.0f);
  }

  void expect(std::int64_t i) const override {
    constexpr std::int64_t kLine = 16;  // floats of a cache line
    const float* const row = x_.data() + i * inputs_;
    for (std::int64_t at = 0; at < inputs_ + kLine - 1; at += kLine)
      __builtin_prefetch(row + std::min(at, inputs_ - 1));
    __builtin_prefetch(y_.data() + i * targets_);
  }

 private:
  std::int64_t size_, inputs_, targets_;
  std::vector<float> x_, y_;
};

class SyntheticTask : public Task {
 public:
  void visit(Fields& f) override {
    f.field("synthetic.samples", samples_, {1, 1 << 24}, Effect::bits, "samples to train on");
    f.field("synthetic.inputs", inputs_, {1, 1 << 20}, Effect::bits, "values of an input");
    f.field("synthetic.targets", targets_, {1, 1 << 20}, Effect::bits, "values to predict");
  }
  void open() override {
    const std::int64_t small = std::min<std::int64_t>(samples_, 256);
    for (std::uint32_t split = 0; split < 3; ++split)
      sets_.push_back(std::make_unique<Samples>(split == 0 ? samples_ : small, inputs_, targets_, split));
  }
  const Dataset& dataset(Split split) const override { return *sets_.at(static_cast<std::size_t>(split)); }
  std::int64_t inputs() const override { return inputs_; }
  std::int64_t targets() const override { return targets_; }
  std::unique_ptr<Loss> loss() const override { return squared_loss(); }
  std::string score() const override { return "mse"; }

  Metrics evaluate(Split split, std::span<const float> predictions) const override {
    std::vector<float> x(static_cast<std::size_t>(inputs_)), y(static_cast<std::size_t>(targets_)),
        w(y.size());
    double sum = 0;
    for (std::int64_t i = 0; i < dataset(split).size(); ++i) {
      dataset(split).get(i, x, y, w);
      for (std::size_t h = 0; h < y.size(); ++h) {
        const double e = double{predictions[static_cast<std::size_t>(i) * y.size() + h]} - double{y[h]};
        sum += e * e;
      }
    }
    return {{"mse", sum / static_cast<double>(predictions.size())}};
  }
  void calibrate(std::span<const float>) override {}
  void visit(StateVisitor&) override {}
  void predict(const std::string& input, const std::string&, const Run&) override {
    input_error("--input {}: the synthetic task has nothing to predict", input);
  }

 private:
  std::int64_t samples_ = 8192, inputs_ = 336, targets_ = 48;
  std::vector<std::unique_ptr<Samples>> sets_;
};

}  // namespace

std::unique_ptr<Task> make_synthetic_task() { return std::make_unique<SyntheticTask>(); }

}  // namespace rondo
