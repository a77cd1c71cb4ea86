/// Model: networks built from a configuration, and one micro-batch forward and backward through them.
#pragma once

#include <string>

#include "rondo/device/phase_clock.hpp"
#include "rondo/nn/layer.hpp"
#include "rondo/nn/loss.hpp"

namespace rondo {

/// What `model.*` says. A layer is a line of words:
///   "linear OUT [identity|relu|gelu|silu]"    "layer_norm"    "dropout P"    "embedding ROWS DIM"
///   "conv1d OUT TAPS DILATION [activation]"   "sequence CHANNELS"   "flatten"   "residual LAYER..."
/// A last linear layer to the task's outputs is added.
struct ModelOptions {
  std::vector<std::string> layers = {"linear 256 gelu", "linear 256 gelu"};
  std::int64_t members = 1;  ///< networks trained side by side whose predictions are averaged
  void visit(class Fields& fields);
};

/// Inputs and targets of one micro-batch, [samples, ...]. weights 0 masks padding.
struct Batch {
  Matrix inputs, targets, weights;
};

class Model {
 public:
  /// `inputs` columns in, `targets` predicted per sample (times the loss' values per target).
  Model(const ModelOptions& options, std::int64_t inputs, std::int64_t targets, std::unique_ptr<Loss> loss);

  ParameterStore& store() { return store_; }
  const ParameterStore& store() const { return store_; }
  std::int64_t outputs() const { return outputs_; }
  std::int64_t members() const { return static_cast<std::int64_t>(members_.size()); }
  /// Where a member's gradients begin in the arena; they end where the next one's do.
  std::int64_t begin(std::int64_t member) const { return begins_[static_cast<std::size_t>(member)]; }

  /// Forward and backward of one member, which trains as it would alone. Gradients of scale * (sum of the
  /// rows' losses) go to the store. `losses`: of every row, device memory. `clock`: gets a lap of forward and
  /// one of backward.
  void train(Pass& pass, std::int64_t member, const Batch& batch, real scale, double* losses,
             PhaseClock& clock);
  /// The members' mean prediction, [samples, outputs], in the workspace.
  Matrix predict(Pass& pass, Matrix inputs);

  /// Floating-point operations of one sample's training step (products only).
  double train_flops() const;

 private:
  ParameterStore store_;
  std::unique_ptr<Loss> loss_;
  std::int64_t outputs_;
  std::vector<LayerPtr> members_;
  std::vector<std::int64_t> begins_;
  double forward_flops_ = 0, first_flops_ = 0;
};

}  // namespace rondo
