/// Task: what a user wants to learn. It owns the data, the loss, the metrics and what `predict` writes; the
/// trainer knows nothing of them.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "rondo/core/config.hpp"
#include "rondo/core/state.hpp"
#include "rondo/data/dataset.hpp"
#include "rondo/nn/loss.hpp"

namespace rondo {

enum class Split { train, validation, test };
Split split_of(const std::string& name);  ///< InputError for another name

/// Names and values in the order in which they are shown.
using Metrics = std::vector<std::pair<std::string, double>>;

class Task {
 public:
  virtual ~Task() = default;
  virtual void visit(Fields& fields) = 0;
  /// Opens the data that the fields name and makes the datasets.
  virtual void open() = 0;
  virtual const Dataset& dataset(Split split) const = 0;
  virtual std::int64_t inputs() const = 0;   ///< of a sample; known before open()
  virtual std::int64_t targets() const = 0;  ///< to predict per sample; known before open()
  virtual std::unique_ptr<Loss> loss() const = 0;

  /// `predictions`: [dataset(split).size(), model outputs], in the dataset's order.
  virtual Metrics evaluate(Split split, std::span<const float> predictions) const = 0;
  /// The same metrics for whatever a user would do without us, named "<baseline>_<metric>".
  virtual Metrics baselines(Split) const { return {}; }
  /// Metrics and baselines as lines for a reader.
  virtual std::string table(const Metrics& metrics) const;
  /// The metric that decides which checkpoint is the best; smaller is better.
  virtual std::string score() const = 0;
  /// Last touch after training, from predictions of the validation split: for example widths of bands.
  virtual void calibrate(std::span<const float> predictions) = 0;
  /// What belongs to the trained model beside weights: statistics of the data, calibration.
  virtual void visit(StateVisitor& visitor) = 0;

  /// Forecasts from a file of the user's: `run` maps [n, inputs] to [n, outputs]. Writes `output` (.csv,
  /// .h5).
  using Run = std::function<std::vector<float>(std::span<const float> inputs, std::int64_t rows)>;
  virtual void predict(const std::string& input, const std::string& output, const Run& run) = 0;
};

/// Makes the task of a name, or throws InputError with the names there are.
using TaskFactory = std::unique_ptr<Task> (*)(const std::string& kind);

}  // namespace rondo
