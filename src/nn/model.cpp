#include "rondo/nn/model.hpp"

#include "builder.hpp"
#include "rondo/core/config.hpp"
#include "rondo/core/error.hpp"
#include "rondo/core/phase.hpp"

namespace rondo {

void ModelOptions::visit(Fields& fields) {
  fields.field("model.layers", layers, Effect::bits, "the network, one line of words a layer");
  fields.field("model.members", members, {1, 1000}, Effect::bits,
               "networks trained side by side and averaged");
}

Model::Model(const ModelOptions& options, std::int64_t inputs, std::int64_t targets,
             std::unique_ptr<Loss> loss)
    : loss_(std::move(loss)), outputs_(targets * loss_->per_target()) {
  for (std::int64_t k = 0; k < options.members; ++k) {
    const std::string prefix = options.members == 1 ? "" : fmt::format("member{}.", k);
    begins_.push_back(store_.values());
    const auto first_number = static_cast<std::uint32_t>(k) * 1000;
    BuiltNetwork built = build_network(store_, prefix, options.layers, inputs, outputs_, first_number);
    members_.push_back(std::move(built.root));
    forward_flops_ += built.forward_flops;
    first_flops_ += built.first_flops;
  }
}

double Model::train_flops() const { return 3 * forward_flops_ - first_flops_; }

void Model::train(Pass& pass, std::int64_t member, const Batch& batch, real scale, double* losses,
                  PhaseClock& clock) {
  Layer& network = *members_[static_cast<std::size_t>(member)];
  pass.workspace.reset();
  enter(Phase::forward);
  clock.enter(SpanKind::forward, pass.first_sample / pass.samples);
  const Matrix prediction = network.forward(pass, batch.inputs);
  enter(Phase::backward);
  clock.enter(SpanKind::backward, pass.first_sample / pass.samples);
  const Matrix gradient = pass.workspace.matrix(batch.inputs.rows, outputs_);
  loss_->evaluate(pass.backend, prediction, batch.targets, batch.weights, scale, losses, gradient);
  network.backward(pass, gradient, false);
  clock.stop();
}

Matrix Model::predict(Pass& pass, Matrix inputs) {
  pass.workspace.reset();
  const Matrix mean = pass.workspace.matrix(inputs.rows, outputs_);
  bool first = true;
  for (const LayerPtr& member : members_) {
    const Matrix prediction = member->forward(pass, inputs);
    if (first)
      pass.backend.copy_columns(mean, 0, prediction, false);
    else
      pass.backend.add(mean, prediction.data);
    first = false;
  }
  pass.backend.scale(mean, 1 / static_cast<real>(members_.size()));
  return mean;
}

}  // namespace rondo
