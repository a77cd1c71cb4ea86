#include "rondo/train/trainer.hpp"

#include <algorithm>
#include <bit>
#include <numeric>
#include <utility>

#include "rondo/core/clock.hpp"
#include "rondo/core/error.hpp"
#include "rondo/core/phase.hpp"
#include "rondo/core/process.hpp"
#include "rondo/core/trace.hpp"

namespace rondo {

namespace {

Assignment part_of(std::span<const std::int64_t> shares, int rank) {
  const auto mine = shares.begin() + rank;
  const std::int64_t begin = std::accumulate(shares.begin(), mine, std::int64_t{0});
  return {begin, begin + *mine};
}

constexpr double kQuickFetch = 1e-3;   // seconds: what takes longer waits for a file, and needs no core
constexpr std::size_t kMaxPasses = 4;  // with wrong sums: chance does not strike so often

// As lanes_of() says, and enough for all ranks that run micro-batches.
std::int64_t lanes_for(const RunConfig& config, const Roster& roster) {
  const TrainOptions& train = config.train;
  const std::int64_t lanes = lanes_of(config.exchange, train.micro_batches);
  if (roster.active() > train.micro_batches)
    input_error(
        "mpirun started {} ranks{}, but train.micro_batches = {}: start at most that many ranks, or raise it "
        "(a multiple of 4 times the ranks leaves room for balance)",
        roster.active(), roster.active() < roster.size() ? " beside the spares" : "", train.micro_batches);
  if (roster.active() > lanes)
    input_error(
        "mpirun started {} ranks, but a compressed exchange has {} lanes: start at most that many, or raise "
        "exchange.lanes",
        roster.active(), lanes);
  return lanes;
}

}  // namespace

Trainer::Trainer(RunConfig& config, Backend& backend, Communicator& comm, std::int64_t spares)
    : config_(config),
      backend_(backend),
      comm_(comm),
      precision_(require_precision(config.train, backend)),
      loss_scale_(precision_ == Precision::float16),
      roster_(comm.gather_texts(pid_scope()), spares),
      balancer_(lanes_for(config, roster_), roster_.active()),
      per_lane_(config.train.micro_batches / lanes_of(config.exchange, config.train.micro_batches)),
      sampler_{static_cast<std::uint64_t>(config.train.seed), config.task->dataset(Split::train).size(),
               config.train.global_batch},
      model_(config.model, config.task->inputs(), config.task->targets(), config.task->loss()),
      workspace_(backend),
      clock_(backend),
      feeder_(backend),
      to_predict_(backend),
      row_losses_(backend, static_cast<std::size_t>(config.train.global_batch * model_.members())) {
  ParameterStore& store = model_.store();
  comm.set_timeout(config.exchange.timeout_s);
  transport_ = make_transport(config.exchange.algorithm, comm, backend);
  store.allocate(backend, static_cast<std::uint64_t>(config.train.seed), divide());
  optimizer_ = make_optimizer(config.optimizer, backend, store);
  if (config.agreement.every > 0 && replicated()) optimizer_->remember_seen();
  join();
}

bool Trainer::recovers() const {
  return comm_.recovers() && backend_.reads_host_memory() && config_.exchange.compression == "none";
}

void Trainer::join() {
  exchange_ = make_exchange(config_.exchange, backend_, comm_, *transport_, model_.store(),
                            config_.train.micro_batches, roster_.size() - roster_.active(),
                            sharded() && !mirrors_);  // a mirror needs the sums of two slices
  if (sharded()) shares_ = exchange_->scattered;
  if (sharded() && shares_.empty()) shares_ = {{0, weights_.own.size()}};
}

// Every survivor has the same state of the exchange: it follows from what the votes have let pass.
void Trainer::regroup() {
  if (exchange_ != nullptr) {
    kept_ = {};
    SaveVisitor save(kept_);
    exchange_->visit(save);
  }
  exchange_.reset();
  model_.store().move(nullptr);  // their memory goes with the transport
  transport_.reset();
  feeder_.finish();  // of a step that was broken off
  loss_.reset();
  if (!whole_) restore();
  balancer_ = Balancer(lanes_for(config_, roster_), roster_.active());
  transport_ = make_transport(config_.exchange.algorithm, comm_, backend_);
  model_.store().move(divide());
  join();
  LoadVisitor load(kept_);
  exchange_->visit(load);
}

void Trainer::heed_loss() const {
  if (loss_) throw *loss_;
}

Assignment Trainer::assigned() const {
  if (roster_.spare(comm_.rank())) return {0, 0};
  const Assignment lanes = part_of(balancer_.shares(), roster_.place(comm_.rank()));
  return {lanes.begin * per_lane_, lanes.end * per_lane_};
}

Pass Trainer::pass(bool training) {
  return {.backend = backend_,
          .store = model_.store(),
          .workspace = workspace_,
          .training = training,
          .precision = precision_,
          .seed = static_cast<std::uint64_t>(config_.train.seed),
          .step = static_cast<std::uint32_t>(steps_done_)};
}

void Trainer::run_micro_batches(const StepData& data, double scale) {
  const auto count = static_cast<std::int64_t>(data.size()), next = steps_done_ + 1;
  const bool logged = next % config_.train.log_every == 0 || next == config_.train.max_steps;
  clock_.restart(logged || trace() != nullptr || backend_.reads_host_memory());
  if (count == 0) exchange_->idle();
  const struct Attended {  // until the last one is done, or broken off
    Backend& backend;
    ~Attended() { backend.meanwhile({}); }
  } attended{backend_};
  // Members outside: the weights and gradients of one stay in a cache, and its buckets leave while the next
  // ones compute.
  for (std::int64_t member = 0; member < model_.members(); ++member)
    for (std::int64_t i = 0; i < count; ++i) {
      const HostBatch& host = data[static_cast<std::size_t>(i)];
      const Batch batch = feeder_.batch(host);
      Pass run = pass(true);
      run.accumulate = exchange_->adds(i);
      run.first_sample = host.micro_batch * host.rows;
      run.samples = host.rows;
      run.gradients_ready = [&](std::int64_t end) { exchange_->ready(end, i, count); };
      run.gradients_so_far = [&](std::int64_t end) { exchange_->so_far(end, i, count); };
      exchange_->start(model_.begin(member), i);
      if (i + 1 == count) backend_.meanwhile([this] { send_on(); });
      model_.train(run, member, batch, static_cast<real>(scale),
                   row_losses_.data() + (i * model_.members() + member) * host.rows, clock_);
    }
}

// Buckets are on their way while a large layer computes.
void Trainer::send_on() {
  const double begin = now_s();
  transport_->progress();
  exchange_->times.hidden_s += now_s() - begin;
}

// After the device was waited for. What the exchange did within backward is counted apart.
void Trainer::note_phases(StepTimes& times) {
  clock_.read([&](SpanKind kind, std::int64_t micro_batch, double begin, double end) {
    (kind == SpanKind::forward ? times.forward : times.backward) += end - begin;
    note_span(kind, micro_batch, begin, end);
  });
}

// One copy from the device a step: each would wait for all work before it.
void Trainer::collect_losses(const StepData& data, double scale, std::vector<double>& losses) {
  std::vector<double> all(data.size() * static_cast<std::size_t>(model_.members() * batch_rows()));
  row_losses_.get(all);
  feeder_.finish();
  backend_.check_ids();
  const std::int64_t members = model_.members(), rows = batch_rows();
  const double share = 1.0 / static_cast<double>(members);
  const double* of_batch = all.data();
  for (const HostBatch& host : data) {
    double sum = 0;
    for (std::int64_t r = 0; r < rows; ++r) {
      double loss = 0;
      for (std::int64_t m = 0; m < members; ++m) loss += share * of_batch[m * rows + r];
      sum += loss;
    }
    losses[static_cast<std::size_t>(host.micro_batch)] = sum * scale;
    of_batch += members * rows;
  }
}

std::unique_ptr<Loader> Trainer::loader(std::int64_t first, std::int64_t last) const {
  const Assignment mine = assigned();
  const bool core_to_spare = comm_.cores() >= 2 * comm_.local_size();
  return std::make_unique<Loader>(config_.task->dataset(Split::train), sampler_, first, last, mine.begin,
                                  mine.end, batch_rows(), backend_.host_memory(),
                                  core_to_spare ? 0 : kQuickFetch);
}

StepResult Trainer::step(const StepData& data, Loader* loader, std::uint32_t request) {
  heed_loss();
  StepResult result;
  error_context().step = steps_done_;
  exchange_->times = {};
  StepOutcome outcome;
  const double scale = 1.0 / static_cast<double>(sampler_.samples(steps_done_) * model_.outputs());
  feeder_.bring(data);
  feeder_.await();
  for (;;) {
    std::vector<double> losses(static_cast<std::size_t>(config_.train.micro_batches));
    exchange_->begin(assigned().begin);
    const double begin = now_s();
    run_micro_batches(data, scale * loss_scale_.factor());
    const bool feeds = loader != nullptr && !backend_.reads_host_memory();
    if (const StepData* ahead = feeds ? loader->ahead() : nullptr) feeder_.bring(*ahead);
    collect_losses(data, scale, losses);  // what was queued on a GPU is done now
    note_phases(result.times);
    enter(Phase::exchange);
    const double reported = now_s(), since = std::exchange(reported_s_, reported);
    const auto seconds = static_cast<float>(reported - begin);
    const double waited = comm_.waited_s();
    outcome = exchange_->finish({losses, request, beside_ ? -seconds : seconds,
                                 comm_.rank() == 0 ? static_cast<float>(reported - since) : 0});
    result.times.waited += comm_.waited_s() - waited;
    if (outcome.verdict == Verdict::corrupt) {
      result.wrong.push_back(outcome.corruption);
      RONDO_CHECK(result.wrong.size() < kMaxPasses,
                  "bucket {}, rank {}: wrong sums (checksum) {} times in one step: memory or network is bad",
                  outcome.corruption.bucket, outcome.corruption.rank, kMaxPasses);
    } else if (outcome.verdict == Verdict::redo) {
      if (++result.redos > 1)
        throw NotRepeated(
            fmt::format("step {}: gradients outgrew the exponents that were made for them: micro-batches did "
                        "not repeat their "
                        "bits",
                        steps_done_));
    } else if (outcome.verdict == Verdict::not_finite && loss_scale_.lower()) {
      ++result.rescaled;
    } else {
      break;
    }
  }
  if (outcome.verdict == Verdict::not_finite)
    throw NotFinite(fmt::format(
        "step {}: the loss or a gradient is not finite; nothing was applied. Lower optimizer.learning_rate, "
        "set optimizer.clip_norm, or look for huge values in the data",
        steps_done_));
  enter(Phase::optimizer);
  const double begin = now_s();
  for (const double loss : outcome.losses) result.loss += loss;
  const double unscale = 1 / loss_scale_.factor();
  double factor = 1;
  if (config_.optimizer.clip_norm > 0) {
    std::vector<double> squares = exchange_->block_squares();
    for (double& square : squares) square *= unscale * unscale;
    factor = clip_factor(config_.optimizer.clip_norm, squares, result.norm);
  }
  result.rate = scheduled_rate(config_.optimizer, steps_done_, config_.train.max_steps);
  const GradientView gradient = exchange_->gradient(factor * unscale);
  const bool common = sharded() && transport_->shares_memory() && !mirrors_;  // as divide() has it
  const bool aside = common && updates_.way() == 1;
  const double updating = now_s();
  const auto update = [&](int rank) {
    for (const BlockSpan blocks : blocks_of_rank(rank))
      optimizer_->update(gradient, blocks, steps_done_, result.rate, aside);
  };
  update(comm_.rank());
  updates_.took(now_s() - updating);
  if (mirrors_) update(mirrors_->mirrored(comm_.rank()));
  whole_ = !sharded();
  loss_scale_.passed();
  ++steps_done_;
  const double updated = now_s(), waited = comm_.waited_s();
  enter(Phase::sharing);
  if (sharded()) try {
      transport_->share(weights_, shares_);
    } catch (const RankLost& loss) {
      loss_ = loss;
    }
  const double shared = now_s();
  note_span(SpanKind::optimizer, 0, begin, updated);
  if (sharded()) note_span(SpanKind::share, 0, updated, shared);
  result.times.optimizer = updated - begin;
  result.times.hidden = exchange_->times.hidden_s;
  if (backend_.reads_host_memory()) result.times.backward -= result.times.hidden;
  result.times.exposed = exchange_->times.exposed_s + (shared - updated);
  result.times.waited += comm_.waited_s() - waited;
  result.request = outcome.request;
  // In float32 sums depend on who runs what: a run could not be repeated if that followed a clock.
  const bool balances = config_.train.balance && config_.exchange.arithmetic == "exact";
  if (balances && balancer_.observe(of_active(outcome.seconds), outcome.length)) {
    result.balance = balancer_.account();
    exchange_->collect();
  }
  if (balances && may_retire() && balancer_.burden()) {
    if (!result.balance.empty()) result.balance += "; ";
    result.balance += fmt::format("a micro-batch takes {:.1f} times as long as on the others: {}",
                                  balancer_.times_as_long(), roster_.retire(*balancer_.burden()));
    balancer_ = Balancer(lanes_for(config_, roster_), roster_.active());
  }
  return result;
}

// What a lane of a compressed exchange keeps stays with its rank; and a fused exchange needs every rank.
bool Trainer::may_retire() const {
  return config_.exchange.compression == "none" && config_.train.micro_batches > comm_.size();
}

std::vector<float> Trainer::of_active(std::span<const float> each) const {
  std::vector<float> active;
  for (int rank = 0; rank < roster_.size(); ++rank)
    if (!roster_.spare(rank)) active.push_back(each[static_cast<std::size_t>(rank)]);
  return active;
}

std::vector<float> Trainer::predict_piece(std::span<const float> inputs, std::int64_t rows) {
  enter(Position::of(position_word()).phase);  // the next piece: of an evaluation, or of leaving
  Pass run = pass(false);
  run.samples = rows;
  model_.store().view(optimizer_->evaluation_weights());
  const Matrix out =
      model_.predict(run, {to_predict_.of(inputs), rows, static_cast<std::int64_t>(inputs.size()) / rows});
  model_.store().view(nullptr);
  std::vector<float> predictions(static_cast<std::size_t>(out.size()));
  backend_.copy_out(predictions.data(), out.data, predictions.size() * sizeof(float));
  backend_.check_ids();
  return predictions;
}

std::vector<float> Trainer::predict(Split split) {
  heed_loss();
  if (optimizer_->averages()) collect(optimizer_->evaluation_weights());
  const Dataset& dataset = config_.task->dataset(split);
  const std::int64_t rows = batch_rows(), pieces = (dataset.size() + rows - 1) / rows;
  const std::int64_t per_piece = rows * model_.outputs();
  std::vector<std::uint64_t> bits(static_cast<std::size_t>(pieces * per_piece));
  Assignment mine{0, 0};  // of a spare
  if (!roster_.spare(comm_.rank()))
    mine = part_of(equal_shares(pieces, roster_.active()), roster_.place(comm_.rank()));
  HostBatch batch;
  std::vector<std::int64_t> samples(static_cast<std::size_t>(rows));
  for (std::int64_t piece = mine.begin; piece < mine.end;
       ++piece) {  // always whole pieces: same shapes, same bits
    for (std::int64_t r = 0; r < rows; ++r)
      samples[static_cast<std::size_t>(r)] = piece * rows + r < dataset.size() ? piece * rows + r : -1;
    fill_batch(dataset, samples, batch);
    const std::vector<float> out = predict_piece(batch.inputs, rows);
    for (std::size_t i = 0; i < out.size(); ++i)
      bits[static_cast<std::size_t>(piece * per_piece) + i] = std::bit_cast<std::uint32_t>(out[i]);
  }
  comm_.sum(bits);  // zeros elsewhere: a gather
  std::vector<float> all(static_cast<std::size_t>(dataset.size() * model_.outputs()));
  for (std::size_t i = 0; i < all.size(); ++i)
    all[i] = std::bit_cast<float>(static_cast<std::uint32_t>(bits[i]));
  return all;
}

void Trainer::visit(StateVisitor& visitor) {
  model_.store().visit(visitor, "parameters", model_.store().arena());
  model_.store().touch();
  config_.task->visit(visitor);
  optimizer_->visit(visitor);
  exchange_->visit(visitor);
  loss_scale_.visit(visitor);
  visitor.scalar("train/steps_done", steps_done_);
  double rate = scheduled_rate(config_.optimizer, steps_done_, config_.train.max_steps);
  visitor.scalar("train/learning_rate", rate);  // for readers: it follows from the step
  std::int64_t epoch = sampler_.epoch(steps_done_), cursor = steps_done_ % sampler_.steps_per_epoch();
  visitor.scalar("train/epoch", epoch);
  visitor.scalar("train/epoch_step", cursor);
}

void Trainer::visit_gradients(StateVisitor& visitor) {
  model_.store().visit(visitor, "gradients", exchange_->gradients());
}

void Trainer::visit_evidence(StateVisitor& visitor) {
  visit(visitor);
  optimizer_->visit_seen(visitor);
}

}  // namespace rondo
