/// Exchange: the policy between a rank's gradients and the optimizer.
///
/// One step: begin(first), then the members of a model one after the other, each with all of the rank's
/// micro-batches: start() says what comes next, its backward reports what is complete with ready(). finish()
/// waits for the sums and for the common decision. Buckets of a member leave during the rank's last
/// micro-batch, while backward and the other members go on. Nothing may be applied unless finish() says
/// `commit`.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "rondo/comm/transport.hpp"
#include "rondo/core/state.hpp"
#include "rondo/nn/parameters.hpp"

namespace rondo {

/// A bucket that a second-level cache holds.
inline constexpr std::int64_t kBucketBytes = 1 << 20;

/// What `exchange.*` says.
struct ExchangeOptions {
  std::string arithmetic = "exact";  ///< exact or float32
  std::string algorithm = "auto";    ///< how ranks sum: see make_transport
  std::string compression = "none";  ///< none, int16, int8, topk or powersgd; auto: see resolve_compression
  std::int64_t lanes = 0;            ///< that a compressed exchange encodes; 0: see lanes_of
  std::int64_t powersgd_rank = 16;   ///< of what powersgd sends of a matrix
  std::int64_t bucket_bytes = 0;     ///< of a bucket; 0: kBucketBytes, or more if latency is dear
  double timeout_s = 120;
  void visit(class Fields& fields);
};

/// In how many lanes a step's micro-batches are dealt to ranks: whole, equal and in order. What is compressed
/// is the sum of a lane, so that the bits do not depend on who has it. Without compression each micro-batch
/// is one; with it as many as `exchange.lanes` says, or, where that is 0, the greatest divisor of
/// `micro_batches` up to 16. InputError for lanes that do not divide the micro-batches.
std::int64_t lanes_of(const ExchangeOptions& options, std::int64_t micro_batches);

/// Words that travel for each block of kBlock values, after `compression` of so many lanes; of vectors with
/// powersgd, which sends less of matrices.
std::int64_t words_per_block(const std::string& compression, std::int64_t lanes);

enum class Verdict {
  commit,      ///< gradients are the same on every rank and may be applied
  redo,        ///< run the step's micro-batches again: some blocks got new exponents
  corrupt,     ///< run them again: a sum did not fit its checksum, and nothing else has changed
  not_finite,  ///< a gradient or loss is NaN or infinite: apply nothing
};

/// What a rank tells all others at the end of a step.
struct StepReport {
  std::span<const double> losses;  ///< one per micro-batch of the global batch, 0 where another rank ran it
  std::uint32_t request = 0;       ///< something that all ranks should do after this step (see train), or 0
  float seconds = 0;               ///< that its micro-batches took; negative: beside other work
  float length = 0;                ///< of the first rank: seconds since its report before
};

/// Where a sum was found wrong, one place of perhaps several.
struct Corruption {
  int rank = 0;  ///< in shared memory whose part of it was wrong, else a rank that received it
  std::int64_t bucket = 0;
};

/// What every rank knows after finish().
struct StepOutcome {
  Verdict verdict = Verdict::commit;
  std::vector<double> losses;  ///< of every micro-batch of the global batch
  std::vector<float> seconds;  ///< of every rank, as in its report
  float length = 0;            ///< of the first rank
  std::uint32_t request = 0;   ///< the greatest that any rank made
  Corruption corruption = {};  ///< after `corrupt`
};

/// Of words that are cut at blocks.
inline BlockSpan blocks_of(WordRange words) {
  static_assert(kSliceWords == kBlock);
  return {static_cast<std::int64_t>(words.begin) / kBlock, static_cast<std::int64_t>(words.end) / kBlock};
}

class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual std::string name() const = 0;
  /// Where this rank's gradients of one micro-batch go: store.values() numbers.
  virtual real* gradients() = 0;
  /// Whether backward is to add the rank's `index`-th micro-batch to the gradients of the one before.
  virtual bool adds(std::int64_t index) const = 0;

  /// The rank's micro-batches are `first` of the global batch and those that follow: whole lanes.
  virtual void begin(std::int64_t first) = 0;
  /// Next comes the rank's `index`-th micro-batch, through the member whose gradients begin at `begin`.
  virtual void start(std::int64_t begin, std::int64_t index) = 0;
  /// Gradients of this member before `end` are complete in this micro-batch, the rank's `index`-th of
  /// `count`.
  virtual void ready(std::int64_t end, std::int64_t index, std::int64_t count) = 0;
  /// The same within the layer that will be ready next: some of what ready() does may be done early, while
  /// gradients are in a cache and for links that have nothing to do.
  virtual void so_far([[maybe_unused]] std::int64_t end, [[maybe_unused]] std::int64_t index,
                      [[maybe_unused]] std::int64_t count) {}
  /// In place of ready(), on a rank that runs no micro-batch: adds zeros to every sum.
  virtual void idle() = 0;
  virtual StepOutcome finish(const StepReport& mine) = 0;

  /// The summed gradients, times `factor`, after a commit and until begin(): all of them, or, where
  /// `scattered` is not empty, those of this rank's slice (slice_of) of each of these ranges.
  virtual GradientView gradient(double factor) = 0;
  std::vector<WordRange> scattered;
  /// Sum of squares of every block of the summed gradients. Collective.
  virtual std::vector<double> block_squares() = 0;
  /// Brings this rank up to date with what belongs to other ranks' lanes. Collective; before visit() saves
  /// and before lanes change hands.
  virtual void collect() {}
  /// What a resumed run needs to take the same decisions.
  virtual void visit(StateVisitor& visitor) = 0;

  /// Seconds of this step: converting and summing while backward went on, and waiting in finish().
  struct Times {
    double hidden_s = 0, exposed_s = 0;
  };
  Times times;
};

/// `micro_batches`: of the global batch. `spares`: how many ranks may run none of them; InputError where the
/// exchange needs every rank. `scatter`: whether it is enough that each rank has a part of the sums (see
/// Exchange::scattered), which costs less where Transport::scatters(). Attaches gradient memory to the store.
std::unique_ptr<Exchange> make_exchange(const ExchangeOptions& options, Backend& backend, Communicator& comm,
                                        Transport& transport, ParameterStore& store,
                                        std::int64_t micro_batches, std::int64_t spares = 0,
                                        bool scatter = false);

}  // namespace rondo
