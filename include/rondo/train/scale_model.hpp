/// What a training step would take on a cluster, from what was measured on few ranks. Arithmetic only: no
/// MPI.
///
/// A message of b bytes takes latency + b * per_byte (Hockney, "The communication challenge for MPP", 1994).
/// All-reduces are priced from that step by step, as src/comm/ runs them, in the manner of Thakur,
/// Rabenseifner and Gropp, "Optimization of collective communication operations in MPICH" (2005). Buckets
/// then travel one after the other while backward goes on; what is left when it ends is exposed.
///
/// Seconds and bytes throughout. Every rank keeps the part of a batch that it had when it was measured: more
/// ranks train a larger batch (weak scaling).
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace rondo {

/// latency + bytes * per_byte, and how far the points it was fitted to are from it (root mean square,
/// relative).
struct LinkCost {
  double latency = 0, per_byte = 0, error = 0;
  double of(double bytes) const { return latency + bytes * per_byte; }
};
/// Least squares of the relative error over (bytes, seconds); neither coefficient is negative.
LinkCost fit_line(const std::vector<std::pair<double, double>>& points);

/// What the machine does, whatever is trained on it.
struct Machine {
  LinkCost shared;             ///< an all-reduce in the memory of one node, by its size
  int shared_ranks = 0;        ///< that took part; 0: not measured
  LinkCost message;            ///< one message between two ranks, the software's part of it at the least
  bool between_nodes = false;  ///< whether messages crossed a link between nodes
  double add_per_byte = 0;     ///< adding what has arrived
};

/// A rank's step, measured without any communication beside others that do the same.
struct StepProfile {
  struct Bucket {
    double bytes = 0, ready = 0;  ///< ready: since the step's begin
  };
  std::string compression = {};
  std::vector<Bucket> buckets = {};
  double values = 0;         ///< parameters
  double micro_batches = 0;  ///< of this rank
  double samples = 0;        ///< of this rank
  double computed = 0;       ///< when backward is over
  double step = 0;           ///< the whole
  double optimizer = 0;      ///< of it, the update
  double spread = 0;         ///< standard deviation of a step, outliers left out
  double error = 0;          ///< of `step`, relative: half of its 95 % limits
};

struct Cluster {
  int ranks_per_node = 1;
  LinkCost link = {};  ///< of each node to the others, one for all its ranks, in each direction
  double burst = 0;    ///< bytes that a link which was idle lets through at once (a token bucket)
  std::string
      algorithm;        ///< as exchange.algorithm, except "mpi" and "nccl"; "auto": the cheapest of each size
  double slowdown = 1;  ///< computing takes so many times as long as where it was measured
};

struct Prediction {
  int ranks = 0;
  double step = 0;
  double exposed = 0;     ///< of it, what communication adds
  double skew = 0;        ///< of it, waiting for the slowest rank
  double efficiency = 0;  ///< samples/s of all ranks as a share of as many ranks that need not communicate
  double samples_per_s = 0;
  double margin = 0;  ///< of the step, either way, from the errors of what was measured
};

/// An all-reduce as it goes on: `work` keeps the rank's processor busy, `rounds` messages wait for one
/// another.
struct SumCost {
  double work = 0, round = 0;
  double rounds = 0;
  double on_link = 0;  ///< how long it keeps a node's link busy
  double total() const { return work + rounds * round; }
};
/// InputError for an algorithm that does not work there.
SumCost sum_cost(const Machine& machine, const Cluster& cluster, int ranks, double bytes);

/// How late the slowest of n ranks is on average, in standard deviations of one (normal; Blom 1958).
double expected_maximum(int n);

/// `check`: relative error of a prediction that could be compared, 0 for none; it widens the margin, by that
/// share of what the step would take if the links were unlimited.
Prediction predict_step(const Machine& machine, const StepProfile& profile, const Cluster& cluster, int ranks,
                        double check);

}  // namespace rondo
