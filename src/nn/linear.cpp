#include <cmath>

#include "rondo/nn/layers.hpp"

namespace rondo {

Linear::Linear(ParameterStore& store, const std::string& name, std::int64_t in, std::int64_t out,
               Activation act)
    : in_(in), out_(out), act_(act) {
  const Init init{0, 1 / std::sqrt(static_cast<double>(in))};
  weight_ = store.add(name + ".weight", {out, in}, init, true);
  bias_ = store.add(name + ".bias", {out}, init, false);
  end_ = store.end_layer();
}

Operand Linear::operand(Pass& pass, Matrix m) {
  if (!is_half(pass.precision)) return {m, pass.precision};
  std::uint16_t* half = pass.workspace.halves(m.size());
  pass.backend.to_half(half, m.data, m.size(), pass.precision);
  return {half, m.rows, m.cols, pass.precision};
}

Operand Linear::weights(Pass& pass) {
  if (!is_half(pass.precision)) return {Matrix{pass.store.value(weight_), out_, in_}, pass.precision};
  if (half_weights_ == nullptr)
    half_weights_ = pass.backend.allocate(static_cast<std::size_t>(out_ * in_) * 2);
  auto* half = static_cast<std::uint16_t*>(half_weights_->data());
  if (half_version_ != pass.store.version()) {
    pass.backend.to_half(half, pass.store.value(weight_), out_ * in_, pass.precision);
    half_version_ = pass.store.version();
  }
  return {half, out_, in_, pass.precision};
}

Matrix Linear::forward(Pass& pass, Matrix x) {
  x_ = operand(pass, x);
  const Matrix y = pass.workspace.matrix(x.rows, out_);
  pass.backend.matmul(x_, false, weights(pass), true, y, false);
  const bool keeps_slope = pass.training && act_ != Activation::identity;
  slope_ = keeps_slope ? pass.workspace.matrix(x.rows, out_).data : nullptr;
  pass.backend.bias_activation(y, pass.store.value(bias_), act_, slope_);
  return y;
}

Matrix Linear::backward(Pass& pass, Matrix dy, bool needs_dx) {
  pass.backend.activation_backward(dy, slope_, pass.store.gradient(bias_), pass.accumulate);
  const Operand d = operand(pass, dy);
  const std::int64_t begin = pass.store.list()[static_cast<std::size_t>(weight_)].offset;
  pass.backend.matmul(d, true, x_, false, {pass.store.gradient(weight_), out_, in_}, pass.accumulate,
                      [&](std::int64_t rows) {
                        if (pass.gradients_so_far) pass.gradients_so_far(begin + rows * in_);
                      });
  if (pass.gradients_ready) pass.gradients_ready(end_);
  if (!needs_dx) return {};
  const Matrix dx = pass.workspace.matrix(dy.rows, in_);
  pass.backend.matmul(d, false, weights(pass), false, dx, false);
  return dx;
}

}  // namespace rondo
