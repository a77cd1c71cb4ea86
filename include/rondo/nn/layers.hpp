/// The layers. Each one declares its parameters in its constructor; a composition constructs its parts in
/// the order in which backward reaches them, so that gradients complete from the front of the arena.
#pragma once

#include <string>

#include "rondo/nn/layer.hpp"

namespace rondo {

/// y = act(x W^T + b), W is [out, in]. Weights and bias begin uniform in +-1/sqrt(in).
class Linear : public Layer {
 public:
  Linear(ParameterStore& store, const std::string& name, std::int64_t in, std::int64_t out, Activation act);
  Matrix forward(Pass& pass, Matrix x) override;
  Matrix backward(Pass& pass, Matrix dy, bool needs_dx) override;

 private:
  Operand operand(Pass& pass, Matrix m);
  Operand weights(Pass& pass);
  std::int64_t in_, out_;
  Activation act_;
  int weight_, bias_;
  std::int64_t end_;
  Operand x_;
  real* slope_ = nullptr;
  std::unique_ptr<Buffer> half_weights_;  // their copy as halves, made once per version of the weights
  std::int64_t half_version_ = -1;
};

/// Normalises every row to mean 0 and variance 1, then gain and bias.
class LayerNorm : public Layer {
 public:
  LayerNorm(ParameterStore& store, const std::string& name, std::int64_t width);
  Matrix forward(Pass& pass, Matrix x) override { return forward(pass, x, nullptr); }
  /// Of x + residual, unless that is null: one pass over memory less than with the sum made before.
  Matrix forward(Pass& pass, Matrix x, const real* residual);
  Matrix backward(Pass& pass, Matrix dy, bool needs_dx) override;

 private:
  int gain_, bias_;
  std::int64_t end_;
  Matrix normalised_;
  real* rstd_ = nullptr;
};

/// Sets values to zero with probability p in training, a function of (seed, step, sample, layer, element).
class Dropout : public Layer {
 public:
  Dropout(std::uint32_t number, real p) : number_(number), p_(p) {}
  Matrix forward(Pass& pass, Matrix x) override;
  Matrix backward(Pass& pass, Matrix dy, bool needs_dx) override;

 private:
  std::uint32_t number_;
  real p_;
  real* mask_ = nullptr;
};

/// Looks up rows of a table: [n, k] whole numbers (as floats, exact up to 2^24) -> [n, k * dim].
class Embedding : public Layer {
 public:
  Embedding(ParameterStore& store, const std::string& name, std::int64_t rows, std::int64_t dim);
  Matrix forward(Pass& pass, Matrix ids) override;
  Matrix backward(Pass& pass, Matrix dy, bool needs_dx) override;

 private:
  std::int64_t rows_, dim_;
  int table_;
  std::int64_t end_;
  Matrix ids_;
};

/// Dilated causal convolution over time: [batch * time, channels] -> [batch * time, out].
/// Bai, Kolter and Koltun, "An empirical evaluation of generic convolutional ... networks" (2018).
class CausalConv1d : public Layer {
 public:
  CausalConv1d(ParameterStore& store, const std::string& name, Width in, std::int64_t out, std::int64_t taps,
               std::int64_t dilation, Activation act);
  Matrix forward(Pass& pass, Matrix x) override;
  Matrix backward(Pass& pass, Matrix dy, bool needs_dx) override;

 private:
  ConvShape shape(const Pass& pass) const;
  Width in_;
  std::int64_t taps_, dilation_;
  Linear mix_;  // over the gathered taps
};

/// [batch, time * channels] <-> [batch * time, channels]: the same memory seen otherwise.
class Reshape : public Layer {
 public:
  explicit Reshape(std::int64_t cols) : cols_(cols) {}
  Matrix forward(Pass&, Matrix x) override { return was_ = x.cols, Matrix{x.data, x.size() / cols_, cols_}; }
  Matrix backward(Pass&, Matrix dy, bool) override { return {dy.data, dy.size() / was_, was_}; }

 private:
  std::int64_t cols_, was_ = 0;
};

/// y = x + inner(x), normalised where there is a `norm`.
class Residual : public Layer {
 public:
  explicit Residual(LayerPtr inner, std::unique_ptr<LayerNorm> norm = nullptr)
      : inner_(std::move(inner)), norm_(std::move(norm)) {}
  Matrix forward(Pass& pass, Matrix x) override;
  Matrix backward(Pass& pass, Matrix dy, bool needs_dx) override;

 private:
  LayerPtr inner_;
  std::unique_ptr<LayerNorm> norm_;
};

/// One after the other. `reversed`: the layers from last to first, as they were constructed.
class Sequential : public Layer {
 public:
  explicit Sequential(std::vector<LayerPtr> reversed) : reversed_(std::move(reversed)) {}
  Matrix forward(Pass& pass, Matrix x) override;
  Matrix backward(Pass& pass, Matrix dy, bool needs_dx) override;

 private:
  std::vector<LayerPtr> reversed_;
};

}  // namespace rondo
