#include "rondo/nn/layers.hpp"

#include <cmath>

namespace rondo {

LayerNorm::LayerNorm(ParameterStore& store, const std::string& name, std::int64_t width) {
  gain_ = store.add(name + ".gain", {width}, {1, 0}, false);
  bias_ = store.add(name + ".bias", {width}, {0, 0}, false);
  end_ = store.end_layer();
}

Matrix LayerNorm::forward(Pass& pass, Matrix x, const real* residual) {
  const Matrix y = pass.workspace.matrix(x.rows, x.cols);
  normalised_ = pass.workspace.matrix(x.rows, x.cols);
  rstd_ = pass.workspace.matrix(x.rows, 1).data;
  pass.backend.layer_norm(x, residual, pass.store.value(gain_), pass.store.value(bias_), y, normalised_,
                          rstd_);
  return y;
}

Matrix LayerNorm::backward(Pass& pass, Matrix dy, bool) {
  const Matrix dx = pass.workspace.matrix(dy.rows, dy.cols);
  pass.backend.layer_norm_backward(dy, normalised_, rstd_, pass.store.value(gain_), dx,
                                   pass.store.gradient(gain_), pass.store.gradient(bias_), pass.accumulate);
  if (pass.gradients_ready) pass.gradients_ready(end_);
  return dx;
}

Matrix Dropout::forward(Pass& pass, Matrix x) {
  mask_ = nullptr;
  if (!pass.training || p_ == 0) return x;
  const Matrix y = pass.workspace.matrix(x.rows, x.cols);
  mask_ = pass.workspace.matrix(x.rows, x.cols).data;
  const RandomStream stream{pass.seed, Purpose::dropout, pass.step, number_};
  pass.backend.dropout(x, y, mask_, p_, stream, pass.first_sample * (x.rows / pass.samples));
  return y;
}

Matrix Dropout::backward(Pass& pass, Matrix dy, bool) {
  if (mask_ != nullptr) pass.backend.multiply(dy, mask_);
  return dy;
}

Embedding::Embedding(ParameterStore& store, const std::string& name, std::int64_t rows, std::int64_t dim)
    : rows_(rows), dim_(dim) {
  table_ = store.add(name + ".table", {rows, dim}, {0, 1 / std::sqrt(static_cast<double>(dim))}, true);
  end_ = store.end_layer();
}

Matrix Embedding::forward(Pass& pass, Matrix ids) {
  ids_ = ids;
  const Matrix y = pass.workspace.matrix(ids.rows, ids.cols * dim_);
  pass.backend.embedding(ids, {pass.store.value(table_), rows_, dim_}, y);
  return y;
}

Matrix Embedding::backward(Pass& pass, Matrix dy, bool) {
  pass.backend.embedding_backward(ids_, dy, {pass.store.gradient(table_), rows_, dim_}, pass.accumulate);
  if (pass.gradients_ready) pass.gradients_ready(end_);
  return {};  // ids have no gradient: an embedding is the first layer
}

CausalConv1d::CausalConv1d(ParameterStore& store, const std::string& name, Width in, std::int64_t out,
                           std::int64_t taps, std::int64_t dilation, Activation act)
    : in_(in), taps_(taps), dilation_(dilation), mix_(store, name, in.cols * taps, out, act) {}

ConvShape CausalConv1d::shape(const Pass& pass) const {
  return {pass.samples, in_.time, in_.cols, taps_, dilation_};
}

Matrix CausalConv1d::forward(Pass& pass, Matrix x) {
  const Matrix taps = pass.workspace.matrix(x.rows, x.cols * taps_);
  pass.backend.gather_taps(x, shape(pass), taps);
  return mix_.forward(pass, taps);
}

Matrix CausalConv1d::backward(Pass& pass, Matrix dy, bool needs_dx) {
  const Matrix dtaps = mix_.backward(pass, dy, needs_dx);
  if (!needs_dx) return {};
  const Matrix dx = pass.workspace.matrix(dy.rows, in_.cols);
  pass.backend.scatter_taps(dtaps, shape(pass), dx);
  return dx;
}

Matrix Residual::forward(Pass& pass, Matrix x) {
  const Matrix inner = inner_->forward(pass, x);
  if (norm_ != nullptr) return norm_->forward(pass, x, inner.data);
  const Matrix y = pass.workspace.matrix(x.rows, x.cols);  // inner's result may be x itself
  pass.backend.copy_columns(y, 0, x, false);
  pass.backend.add(y, inner.data);
  return y;
}

Matrix Residual::backward(Pass& pass, Matrix dy, bool needs_dx) {
  if (norm_ != nullptr) dy = norm_->backward(pass, dy, true);
  const Matrix kept = pass.workspace.matrix(dy.rows, dy.cols);  // inner may overwrite dy
  pass.backend.copy_columns(kept, 0, dy, false);
  const Matrix dx = inner_->backward(pass, dy, needs_dx);
  if (!needs_dx) return {};
  pass.backend.add(kept, dx.data);
  return kept;
}

Matrix Sequential::forward(Pass& pass, Matrix x) {
  for (auto layer = reversed_.rbegin(); layer != reversed_.rend(); ++layer) x = (*layer)->forward(pass, x);
  return x;
}

Matrix Sequential::backward(Pass& pass, Matrix dy, bool needs_dx) {
  for (const LayerPtr& layer : reversed_)
    dy = layer->backward(pass, dy, needs_dx || layer != reversed_.back());
  return dy;
}

}  // namespace rondo
