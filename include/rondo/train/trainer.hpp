/// Trainer: one training step, and the state that a checkpoint holds.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "rondo/core/error.hpp"
#include "rondo/core/quicker.hpp"
#include "rondo/device/array.hpp"
#include "rondo/optim/loss_scale.hpp"
#include "rondo/survive/balancer.hpp"
#include "rondo/survive/mirrors.hpp"
#include "rondo/survive/roster.hpp"
#include "rondo/train/feeder.hpp"
#include "rondo/train/run_config.hpp"

namespace rondo {

/// Seconds of one step by phase; forward and backward on the device, and only of steps that are logged where
/// work is queued. `hidden`: converting and summing while backward went on (where work is queued: queueing
/// that); `exposed`: the rest of it and the control word, when there was nothing left to compute, of which
/// the rank did nothing but wait for `waited`.
struct StepTimes {
  double data = 0, forward = 0, backward = 0, hidden = 0, exposed = 0, optimizer = 0, waited = 0;
  double exchange_work() const { return hidden + exposed - waited; }
  double total() const { return data + forward + backward + hidden + exposed + optimizer; }
};

/// Requests that a rank may make; all ranks then do the greatest after the same step.
enum Request : std::uint32_t { kNoRequest = 0, kCheckpoint = 1, kCheckpointAndStop = 2 };

struct StepResult {
  double loss = 0;  ///< mean over the global batch's samples and outputs
  double rate = 0, norm = 0;
  int redos = 0;                  ///< passes with new exponents: 0 or 1
  int rescaled = 0;               ///< passes with half the loss scale
  std::vector<Corruption> wrong;  ///< of each pass whose sums were wrong, and which was therefore repeated
  std::uint32_t request = kNoRequest;
  std::string
      balance;  ///< not empty: from the next step on ranks have other micro-batches; says which and why
  StepTimes times;
};

/// Micro-batches [begin, end) that a rank runs.
struct Assignment {
  std::int64_t begin, end;
};

/// A gradient or the loss is NaN or infinite: on all ranks, and nothing has been applied.
class NotFinite : public InputError {
  using InputError::InputError;
};
/// New exponents did not hold gradients that were computed again: likewise on all ranks.
class NotRepeated : public Error {
  using Error::Error;
};

class Trainer {
 public:
  /// Builds model, optimizer and exchange. Collective. The task must be open. `spares`: ranks that run no
  /// micro-batches until they take over from others that are lost; see Roster.
  Trainer(RunConfig& config, Backend& backend, Communicator& comm, std::int64_t spares = 0);

  const Sampler& sampler() const { return sampler_; }
  /// What this rank runs in the next step; nothing where it is a spare.
  Assignment assigned() const;
  /// What this rank runs of steps [first, last), for as long as the assignment stays.
  std::unique_ptr<Loader> loader(std::int64_t first, std::int64_t last) const;
  std::int64_t batch_rows() const { return config_.train.global_batch / config_.train.micro_batches; }
  Model& model() { return model_; }
  const Exchange& exchange() const { return *exchange_; }
  const Transport& transport() const { return *transport_; }
  const Roster& roster() const { return roster_; }
  bool sharded() const { return !weights_.own.empty(); }
  /// Whether the ranks that are left go on when one dies. NCCL's communicators do not outlive a rank, and
  /// what a lane of a compressed exchange keeps dies with its own.
  bool recovers() const;
  /// Whether all ranks have the same state, all of it, after every step.
  bool replicated() const { return !sharded() && config_.exchange.compression == "none"; }
  std::int64_t steps_done() const { return steps_done_; }

  /// Runs step steps_done() on this rank's micro-batches. Collective. Throws NotFinite or NotRepeated.
  /// `loader`, if any: where the next step's data are to be had; if they are there, they go to a card while
  /// this step is in work. When it returns all data may change.
  ///
  /// Throws RankLost where survivors go on without a rank: then no survivor has applied the step. A loss that
  /// is found after the update, which all have made then, is thrown by the next call that needs all ranks;
  /// the result counts. After regroup() the step steps_done() is the one to run.
  StepResult step(const StepData& data, Loader* loader, std::uint32_t request);
  /// Whether this rank does something else beside the steps from now on, which the others do not: how long it
  /// takes says little of its speed then.
  void work_beside(bool does) { beside_ = does; }
  /// After Communicator::recover() has returned `lost`: spares take over from them. Says which, for readers.
  std::string lose(std::span<const int> lost) { return roster_.lose(lost); }
  /// Then: sums among the survivors from now on, who share the micro-batches anew. Collective. After a
  /// RankLost thrown by it, and lose(), it is to be called again. With a sharded optimizer mirrors stand in
  /// for the dead; Error, on every rank, where both copies of a slice are lost.
  void regroup();

  /// Predictions for a whole split, [size, outputs], on every rank. Collective. The same at any number of
  /// ranks.
  std::vector<float> predict(Split split);

  /// Brings this rank's copy of the optimizer's and the exchange's state up to date where other ranks have
  /// it. Collective; before visit() saves.
  void collect();
  /// All state in a fixed order: a snapshot when saving, restored when loading.
  void visit(StateVisitor& visitor);
  /// The same, and what else shows that memory has changed between updates: see Agreement.
  void visit_evidence(StateVisitor& visitor);
  /// "gradients/...", which are nobody's state: where faults on demand may strike.
  void visit_gradients(StateVisitor& visitor);

 private:
  void heed_loss() const;
  void collect(real* arena);
  void gather(real* arena, std::span<const int> holders);
  real* divide();
  void restore();
  void join();
  void run_micro_batches(const StepData& data, double scale);
  void send_on();
  void note_phases(StepTimes& times);
  void collect_losses(const StepData& data, double scale, std::vector<double>& losses);
  Pass pass(bool training);
  std::vector<BlockSpan> blocks_of_rank(int rank) const;            // its own
  bool may_retire() const;                                          // a rank that is too slow
  std::vector<float> of_active(std::span<const float> each) const;  // of each rank, without spares
  std::vector<float> predict_piece(std::span<const float> inputs, std::int64_t rows);

  RunConfig& config_;
  Backend& backend_;
  Communicator& comm_;
  Precision precision_;
  LossScale loss_scale_;
  Roster roster_;
  Balancer balancer_;      // of lanes, over the ranks that are no spares
  std::int64_t per_lane_;  // micro-batches
  Sampler sampler_;
  Model model_;
  Workspace workspace_;
  PhaseClock clock_;
  Feeder feeder_;
  DeviceView to_predict_;
  DeviceArray<double> row_losses_;  // of this rank's micro-batches, at most all: [micro-batch, member, row]
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Transport> transport_;
  Quicker updates_;                // of common weights: in place, or aside
  Arena weights_;                  // sharded: the weights, where the transport can give them to all ranks
  std::vector<WordRange> shares_;  // of which each rank updates its slice; empty where each updates all
  std::optional<Mirrors>
      mirrors_;        // sharded, where the job recovers: of the slices of one range, of everything
  bool whole_ = true;  // every rank has all of the state, not only its own slices
  std::optional<RankLost> loss_;  // found after the update, to be thrown
  std::unique_ptr<Exchange> exchange_;
  Snapshot kept_;  // the exchange's state, between the old exchange and the new one
  std::int64_t steps_done_ = 0;
  double reported_s_ = 0;  // when the last report was made
  bool beside_ = false;    // see work_beside()
};

}  // namespace rondo
