/// Optimizers, schedule and gradient clipping.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rondo/device/array.hpp"
#include "rondo/nn/parameters.hpp"

namespace rondo {

/// What `optimizer.*` says.
struct OptimizerOptions {
  std::string kind = "adamw";  ///< adamw or sgd
  double learning_rate = 1e-3;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;  ///< adamw
  double momentum = 0.9;                              ///< sgd
  double weight_decay = 0.01;                         ///< weights only, not biases and gains
  std::int64_t warmup_steps = 0;                      ///< linear from 0
  double final_rate = 0.0;                            ///< share of the learning rate that the cosine ends at
  double clip_norm = 0.0;        ///< global norm that gradients are scaled down to; 0: no clipping
  std::string sharded = "auto";  ///< each rank updates a share of the weights: auto, true or false
  double average_decay = 0.0;    ///< exponential average of weights used for evaluation; 0: none
  void visit(class Fields& fields);
};

/// Learning rate of a step: linear warm-up, then half a cosine down to `final_rate`.
/// Loshchilov and Hutter, "SGDR" (2017), without restarts.
double scheduled_rate(const OptimizerOptions& options, std::int64_t step, std::int64_t max_steps);

/// The factor that brings a gradient of these blocks to at most `clip_norm`; blocks are added in order, so
/// it does not depend on how they are spread over ranks. `norm` receives the norm before.
double clip_factor(double clip_norm, const std::vector<double>& block_squares, double& norm);

class Optimizer {
 public:
  Optimizer(const OptimizerOptions& options, Backend& backend, ParameterStore& store);
  virtual ~Optimizer() = default;
  /// Applies one update to a span of blocks, `step` counted from 0; then the average of weights follows.
  /// `aside`: in a private copy of each piece, which then replaces it past all caches. The same bits either
  /// way. Weights that other ranks have read lie in their caches, too; a store in place has to call every
  /// line back, which makes an update several times as long where those ranks run on another core complex.
  void update(GradientView gradient, BlockSpan blocks, std::int64_t step, double rate, bool aside = false);
  /// The weights to evaluate with: the average where there is one.
  real* evaluation_weights();
  bool averages() const { return average_ != nullptr; }
  /// Moments and average: arenas of the store's layout, up to date where update() has been.
  const std::vector<real*>& arenas() const { return arenas_; }
  /// Moments as "optimizer/...", the average as "average/...".
  virtual void visit(StateVisitor& visitor);
  /// From here on updates remember what they find in the arenas that they replace (kSeenFactor).
  void remember_seen() { seen_.emplace(backend_, static_cast<std::size_t>(store_.blocks())); }
  /// That, as "seen/...": the same wherever all updates were made.
  void visit_seen(StateVisitor& visitor);

 protected:
  /// The numbers of gradient and weights begin at the span's.
  virtual void apply(real* w, GradientView gradient, BlockSpan blocks, std::int64_t step, double rate) = 0;
  std::unique_ptr<Buffer> arena();
  OptimizerOptions options_;
  Backend& backend_;
  ParameterStore& store_;
  DeviceArray<float> block_decay_;
  std::uint32_t* seen(BlockSpan blocks) { return seen_ ? seen_->data() + blocks.begin : nullptr; }

 private:
  void update_piece(GradientView gradient, BlockSpan piece, std::int64_t step, double rate, bool aside);
  std::unique_ptr<Buffer> average_, desk_;          // desk: one piece
  std::optional<DeviceArray<std::uint32_t>> seen_;  // one number a block
  std::vector<real*> arenas_;
};

std::unique_ptr<Optimizer> make_optimizer(const OptimizerOptions& options, Backend& backend,
                                          ParameterStore& store);

}  // namespace rondo
