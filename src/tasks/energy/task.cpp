#include <algorithm>
#include <optional>

#include "energy.hpp"
#include "features.hpp"
#include "metrics.hpp"
#include "predict.hpp"
#include "rondo/core/error.hpp"
#include "windows.hpp"

namespace rondo {
namespace energy {

void Options::visit(Fields& f) {
  constexpr auto bits = Effect::bits;
  f.field("energy.horizon", horizon, {1, 100000}, bits, "rows to forecast");
  f.field("energy.history", history, {1, 1000000}, bits, "past rows that the network sees");
  f.field("energy.day", day, {1, 100000}, bits, "rows a day");
  f.field("energy.test_weeks", test_weeks, {1, 100000}, bits, "weeks at the end, for the test");
  f.field("energy.validation_weeks", validation_weeks, {1, 100000}, bits,
          "weeks before the test, for choosing and for calibrating the band; not trained on");
  f.field("energy.future_stride", future_stride, {1, 100000}, bits, "per known column: every n-th row ahead");
  f.field("energy.past_stride", past_stride, {1, 100000}, bits, "per known column: past means over n rows");
  f.field("energy.hinge_column", hinge_column, "", bits,
          "known column with a comfortable range (temperature)");
  f.field("energy.hinge_below", hinge_below, {}, bits, "heating begins below this");
  f.field("energy.hinge_above", hinge_above, {}, bits, "cooling begins above this");
  f.field("energy.unit", unit, "", Effect::operational, "unit of the target, for what is written");
}

namespace {

class EnergyTask : public Task {
 public:
  void visit(Fields& fields) override {
    schema_.visit(fields);
    options_.visit(fields);
  }

  void open() override {
    if (schema_.path.empty())
      input_error("data.path is not set; name a CSV or HDF5 file, e.g. data.path = \"load.csv.gz\"");
    series_.emplace(Series::open(schema_.path, schema_));
    const std::int64_t rows = series_->rows(), test = rows - options_.test_weeks * options_.week();
    const std::int64_t validation = test - options_.validation_weeks * options_.week();
    if (validation < std::max(options_.history, options_.week()) + options_.horizon)
      input_error(
          "{}: {} rows are too few for energy.history = {}, energy.horizon = {}, {} test and {} validation "
          "weeks",
          schema_.path, rows, options_.history, options_.horizon, options_.test_weeks,
          options_.validation_weeks);
    if (options_.day * series_->step_seconds() != 86400)
      input_error("{}: a row every {} s makes {} rows a day, but energy.day = {}", schema_.path,
                  series_->step_seconds(), 86400 / series_->step_seconds(), options_.day);
    require_positive_target();
    statistics_ = Features::measure(*series_, schema_.known.size(), validation);
    features_.emplace(options_, schema_, *series_, statistics_);
    train_.emplace(options_, *features_, inputs(), options_.history, validation, 1);
    validation_.emplace(options_, *features_, inputs(), validation, test, options_.day);
    test_.emplace(options_, *features_, inputs(), test, rows, options_.day);
  }

  std::int64_t inputs() const override { return Features::size(options_, schema_); }
  std::int64_t targets() const override { return options_.horizon; }
  const Windows& dataset(Split split) const override {
    return split == Split::train ? *train_ : split == Split::validation ? *validation_ : *test_;
  }
  std::unique_ptr<Loss> loss() const override { return pinball_loss({kQuantiles.begin(), kQuantiles.end()}); }
  std::string score() const override { return "mape"; }

  Metrics evaluate(Split split, std::span<const float> predictions) const override {
    return energy::score(forecasts(split, predictions, band_), "");
  }
  Metrics baselines(Split split) const override {
    Metrics all;
    for (const auto& [name, lag] :
         {std::pair{"day_naive_", options_.day}, {"week_naive_", options_.week()}}) {
      const Metrics naive = energy::score(naive_forecasts(split, lag), name);
      all.insert(all.end(), naive.begin(), naive.end());
    }
    return all;
  }
  std::string table(const Metrics& metrics) const override {
    const std::string unit = options_.unit.empty() ? "" : ", " + options_.unit;
    std::string text =
        fmt::format("  {:<12} {:>8} {:>14} {:>20}\n", "", "MAPE, %", "pinball" + unit, "in the 80 % band, %");
    for (std::size_t i = 0; i + 2 < metrics.size(); i += 3) {
      const std::string name =
          metrics[i].first.substr(0, metrics[i].first.size() - std::string("mape").size());
      text += fmt::format("  {:<12} {:>8.2f} {:>14.4f} {:>20.1f}\n",
                          name.empty() ? "model" : name.substr(0, name.size() - 1), metrics[i].second,
                          metrics[i + 1].second, metrics[i + 2].second);
    }
    return text;
  }

  void calibrate(std::span<const float> predictions) override {
    band_ = calibrated(forecasts(Split::validation, predictions, {}), validation_->size());
  }

  void visit(StateVisitor& visitor) override {
    statistics_.mean.resize(schema_.known.size());
    statistics_.deviation.resize(schema_.known.size());
    const std::int64_t shape[] = {static_cast<std::int64_t>(schema_.known.size())};
    visitor.array("task/known_mean", DType::float64, std::as_writable_bytes(std::span(statistics_.mean)),
                  shape);
    visitor.array("task/known_deviation", DType::float64,
                  std::as_writable_bytes(std::span(statistics_.deviation)), shape);
    visitor.scalar("task/band_below", band_.below);
    visitor.scalar("task/band_above", band_.above);
  }

  void predict(const std::string& input, const std::string& output, const Run& run) override {
    write_forecast({options_, schema_, statistics_, band_}, input, output, run);
  }

 private:
  void require_positive_target() const {
    std::vector<double> piece(4096);
    for (std::int64_t at = 0; at < series_->rows(); at += 4096) {
      piece.resize(static_cast<std::size_t>(std::min<std::int64_t>(4096, series_->rows() - at)));
      series_->read(0, at, std::span(piece));
      const auto bad = std::ranges::find_if(piece, [](double y) { return !(y > 0); });
      if (bad != piece.end())
        input_error(
            "{}: column {}, row {} (counted from 0): {} is not positive, but errors are relative to the "
            "value; remove or mend it",
            schema_.path, schema_.target, at + (bad - piece.begin()), *bad);
    }
  }

  template <class F>
  void each_row(Split split, F f) const {
    const Windows& windows = dataset(split);
    std::vector<double> actual(static_cast<std::size_t>(options_.horizon));
    for (std::int64_t i = 0; i < windows.size(); ++i) {
      series_->read(0, windows.origin(i), std::span(actual));
      for (std::int64_t h = 0; h < options_.horizon; ++h) f(i, h, actual[static_cast<std::size_t>(h)]);
    }
  }

  std::vector<Forecast> forecasts(Split split, std::span<const float> predictions, Band band) const {
    std::vector<Forecast> all;
    double level = 1;
    each_row(split, [&](std::int64_t i, std::int64_t h, double actual) {
      if (h == 0) level = features_->level(dataset(split).origin(i));
      const auto at = static_cast<std::size_t>((i * options_.horizon + h) * 3);
      const auto value = [&](std::size_t q) {
        return level * (1 + Features::kSpread * double{predictions[at + q]});
      };
      all.push_back(band.apply({value(0), value(1), value(2), actual}));
    });
    return all;
  }

  // The value `lag` rows before, with a band from the relative errors of the validation weeks.
  std::vector<Forecast> naive_forecasts(Split split, std::int64_t lag) const {
    std::vector<double> ratios, before(1);
    const auto past = [&](std::int64_t t) { return series_->read(0, t - lag, std::span(before)), before[0]; };
    each_row(Split::validation, [&](std::int64_t i, std::int64_t h, double actual) {
      ratios.push_back(actual / past(validation_->origin(i) + h));
    });
    const double low = quantile(ratios, 0.1), high = quantile(ratios, 0.9);
    std::vector<Forecast> all;
    each_row(split, [&](std::int64_t i, std::int64_t h, double actual) {
      const double y = past(dataset(split).origin(i) + h);
      all.push_back({y * low, y, y * high, actual});
    });
    return all;
  }

  SeriesSchema schema_;
  Options options_;
  std::optional<Series> series_;
  std::optional<Features> features_;
  Statistics statistics_;
  std::optional<Windows> train_, validation_, test_;
  Band band_;
};

}  // namespace
}  // namespace energy

std::unique_ptr<Task> make_energy_task() { return std::make_unique<energy::EnergyTask>(); }

}  // namespace rondo
