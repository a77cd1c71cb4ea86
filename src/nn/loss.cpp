#include "rondo/nn/loss.hpp"

namespace rondo {
namespace {

class Squared : public Loss {
 public:
  std::int64_t per_target() const override { return 1; }
  void evaluate(Backend& backend, Matrix prediction, Matrix target, Matrix weights, real scale,
                double* losses, Matrix gradient) const override {
    backend.squared_loss(prediction, target, weights, scale, losses, gradient);
  }
};

class Pinball : public Loss {
 public:
  explicit Pinball(std::vector<double> quantiles) : quantiles_(std::move(quantiles)) {}
  std::int64_t per_target() const override { return static_cast<std::int64_t>(quantiles_.size()); }
  void evaluate(Backend& backend, Matrix prediction, Matrix target, Matrix weights, real scale,
                double* losses, Matrix gradient) const override {
    backend.pinball_loss(prediction, target, weights, quantiles_, scale, losses, gradient);
  }

 private:
  std::vector<double> quantiles_;
};

}  // namespace

std::unique_ptr<Loss> squared_loss() { return std::make_unique<Squared>(); }
std::unique_ptr<Loss> pinball_loss(std::vector<double> quantiles) {
  return std::make_unique<Pinball>(std::move(quantiles));
}

}  // namespace rondo
