#include "rondo/optim/optimizer.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "rondo/core/config.hpp"

namespace rondo {
namespace {

constexpr std::int64_t kPieceBlocks = 16;  // aside: 64 KiB of each arena, which stay in a cache

real* data(Buffer& buffer) { return static_cast<real*>(buffer.data()); }

class AdamW : public Optimizer {
 public:
  AdamW(const OptimizerOptions& options, Backend& backend, ParameterStore& store)
      : Optimizer(options, backend, store), mean_(arena()), square_(arena()) {}

  void visit(StateVisitor& visitor) override {
    store_.visit(visitor, "optimizer/mean", data(*mean_));
    store_.visit(visitor, "optimizer/square", data(*square_));
    Optimizer::visit(visitor);
  }

 protected:
  void apply(real* w, GradientView gradient, BlockSpan blocks, std::int64_t step, double rate) override {
    const double t = static_cast<double>(step) + 1;
    const AdamWStep now{static_cast<float>(rate),
                        static_cast<float>(options_.beta1),
                        static_cast<float>(options_.beta2),
                        static_cast<float>(options_.epsilon),
                        static_cast<float>(options_.weight_decay),
                        static_cast<float>(1 / (1 - std::pow(options_.beta1, t))),
                        static_cast<float>(1 / (1 - std::pow(options_.beta2, t)))};
    const std::int64_t at = blocks.begin * kBlock;
    backend_.adamw(w, data(*mean_) + at, data(*square_) + at, gradient, blocks.count(),
                   block_decay_.data() + blocks.begin, now, seen(blocks));
  }

 private:
  std::unique_ptr<Buffer> mean_, square_;
};

class Sgd : public Optimizer {
 public:
  Sgd(const OptimizerOptions& options, Backend& backend, ParameterStore& store)
      : Optimizer(options, backend, store), momentum_(arena()) {}

  void visit(StateVisitor& visitor) override {
    store_.visit(visitor, "optimizer/momentum", data(*momentum_));
    Optimizer::visit(visitor);
  }

 protected:
  void apply(real* w, GradientView gradient, BlockSpan blocks, std::int64_t, double rate) override {
    const std::int64_t at = blocks.begin * kBlock;
    backend_.sgd(w, data(*momentum_) + at, gradient, blocks.count(), block_decay_.data() + blocks.begin,
                 static_cast<float>(rate), static_cast<float>(options_.momentum),
                 static_cast<float>(options_.weight_decay), seen(blocks));
  }

 private:
  std::unique_ptr<Buffer> momentum_;
};

}  // namespace

void OptimizerOptions::visit(Fields& f) {
  constexpr auto bits = Effect::bits;
  f.field("optimizer.kind", kind, "adamw|sgd", bits, "update rule");
  f.field("optimizer.learning_rate", learning_rate, {0, 1e3}, bits, "peak learning rate");
  f.field("optimizer.beta1", beta1, {0, 0.999999}, bits, "adamw: decay of the mean");
  f.field("optimizer.beta2", beta2, {0, 0.999999}, bits, "adamw: decay of the mean square");
  f.field("optimizer.epsilon", epsilon, {1e-12, 1}, bits, "adamw: added to the root of the mean square");
  f.field("optimizer.momentum", momentum, {0, 0.999999}, bits, "sgd: momentum");
  f.field("optimizer.weight_decay", weight_decay, {0, 10}, bits, "decay of weights, not of biases and gains");
  f.field("optimizer.warmup_steps", warmup_steps, {0}, bits, "steps of linear warm-up");
  f.field("optimizer.final_rate", final_rate, {0, 1}, bits, "share of the learning rate at the last step");
  f.field("optimizer.clip_norm", clip_norm, {0}, bits, "largest global gradient norm, 0 for no clipping");
  f.field(
      "optimizer.sharded", sharded, "auto|true|false", Effect::operational,
      "each rank updates a share of the weights, all get them; auto: where ranks share memory and a death "
      "ends the job; true, where the job recovers: shares have a mirror on another rank");
  f.field("optimizer.average_decay", average_decay, {0, 0.999999}, bits,
          "decay of averaged weights, 0 for none");
}

double scheduled_rate(const OptimizerOptions& options, std::int64_t step, std::int64_t max_steps) {
  const double t = static_cast<double>(step), warm = static_cast<double>(options.warmup_steps);
  if (step < options.warmup_steps) return options.learning_rate * (t + 1) / warm;
  const double rest = std::max(1.0, static_cast<double>(max_steps) - warm);
  const double cosine = 0.5 * (1 + std::cos(std::numbers::pi * std::min(1.0, (t - warm) / rest)));
  return options.learning_rate * (options.final_rate + (1 - options.final_rate) * cosine);
}

double clip_factor(double clip_norm, const std::vector<double>& block_squares, double& norm) {
  double sum = 0;
  for (const double square : block_squares) sum += square;
  norm = std::sqrt(sum);
  return norm > clip_norm ? clip_norm / norm : 1.0;
}

Optimizer::Optimizer(const OptimizerOptions& options, Backend& backend, ParameterStore& store)
    : options_(options),
      backend_(backend),
      store_(store),
      block_decay_(backend, static_cast<std::size_t>(store.blocks())) {
  std::vector<float> decay(block_decay_.size());
  for (const Parameter& p : store.list())
    std::fill_n(decay.begin() + p.offset / kBlock, blocks_for(p.size), p.decay ? 1.0f : 0.0f);
  block_decay_.put(decay);
  if (options.average_decay > 0) {
    average_ = arena();
    backend_.average(data(*average_), store.arena(), store.values(), 0);  // begins at the first weights
  }
}

std::unique_ptr<Buffer> Optimizer::arena() {
  auto buffer = backend_.allocate(static_cast<std::size_t>(store_.values()) * sizeof(real));
  arenas_.push_back(data(*buffer));
  return buffer;
}

void Optimizer::update(GradientView gradient, BlockSpan blocks, std::int64_t step, double rate, bool aside) {
  const std::int64_t most = aside ? kPieceBlocks : blocks.count();
  if (aside && desk_ == nullptr)
    desk_ = backend_.allocate(static_cast<std::size_t>(most * kBlock) * sizeof(real));
  for (std::int64_t at = blocks.begin; at < blocks.end; at += most)
    update_piece(gradient.from(at), {at, std::min(at + most, blocks.end)}, step, rate, aside);
  store_.touch();
}

void Optimizer::update_piece(GradientView gradient, BlockSpan piece, std::int64_t step, double rate,
                             bool aside) {
  const std::int64_t at = piece.begin * kBlock, n = piece.count() * kBlock;
  const std::size_t bytes = static_cast<std::size_t>(n) * sizeof(real);
  real* const home = store_.arena() + at;
  real* const w = aside ? data(*desk_) : home;
  if (aside) backend_.copy(w, home, bytes);
  apply(w, gradient, piece, step, rate);
  if (average_ != nullptr) {
    // Early on the plain mean of all weights so far is the better average, so decay grows up to its value.
    const double t = static_cast<double>(step) + 1;
    const double decay = std::min(options_.average_decay, t / (t + 10));
    backend_.average(data(*average_) + at, w, n, static_cast<float>(decay));
  }
  if (aside) backend_.publish(home, w, bytes);
}

real* Optimizer::evaluation_weights() { return average_ != nullptr ? data(*average_) : store_.arena(); }

void Optimizer::visit(StateVisitor& visitor) {
  if (average_ != nullptr) store_.visit(visitor, "average", data(*average_));
}

void Optimizer::visit_seen(StateVisitor& visitor) {
  if (!seen_) return;
  for (const Parameter& p : store_.list()) {
    const std::int64_t shape[] = {blocks_for(p.size)};
    const std::size_t bytes = static_cast<std::size_t>(shape[0]) * sizeof(std::uint32_t);
    std::uint32_t* const device = seen_->data() + p.offset / kBlock;
    visitor.array("seen/" + p.name, DType::uint32,
                  StateBytes{bytes, [&](std::byte* to) { backend_.copy_out(to, device, bytes); },
                             [&](const std::byte* from) { backend_.copy_in(device, from, bytes); }},
                  shape);
  }
}

std::unique_ptr<Optimizer> make_optimizer(const OptimizerOptions& options, Backend& backend,
                                          ParameterStore& store) {
  if (options.kind == "sgd") return std::make_unique<Sgd>(options, backend, store);
  return std::make_unique<AdamW>(options, backend, store);
}

}  // namespace rondo
