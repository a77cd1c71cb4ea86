/// Losses: [samples, H] targets and weights per element (0 masks), predictions [samples, H * per_target()].
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "rondo/device/backend.hpp"

namespace rondo {

class Loss {
 public:
  virtual ~Loss() = default;
  virtual std::int64_t per_target() const = 0;  ///< predicted values per target
  /// losses[r]: the row's loss, in device memory. gradient: scale * d losses[r] / d prediction[r].
  virtual void evaluate(Backend& backend, Matrix prediction, Matrix target, Matrix weights, real scale,
                        double* losses, Matrix gradient) const = 0;
};

/// Weighted squared error, summed over targets.
std::unique_ptr<Loss> squared_loss();
/// Pinball loss, summed over targets and quantiles, which stand innermost.
std::unique_ptr<Loss> pinball_loss(std::vector<double> quantiles);

}  // namespace rondo
