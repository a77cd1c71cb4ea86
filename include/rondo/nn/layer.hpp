/// Layer: what a network is made of. No tape: a layer keeps what its backward needs from the last forward.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "rondo/device/backend.hpp"
#include "rondo/nn/parameters.hpp"

namespace rondo {

/// Device memory for activations: handed out from the front, all taken back by reset().
class Workspace {
 public:
  explicit Workspace(Backend& backend) : backend_(backend) {}
  /// Not zeroed, aligned to 64 bytes.
  Matrix matrix(std::int64_t rows, std::int64_t cols) {
    return {static_cast<real*>(bytes(static_cast<std::size_t>(rows * cols) * sizeof(real))), rows, cols};
  }
  std::uint16_t* halves(std::int64_t n) {
    return static_cast<std::uint16_t*>(bytes(static_cast<std::size_t>(n) * 2));
  }
  void reset();

 private:
  void* bytes(std::size_t n);
  Backend& backend_;
  std::vector<std::unique_ptr<Buffer>> chunks_;
  std::size_t chunk_ = 0, used_ = 0;
};

/// One micro-batch on its way through a network.
struct Pass {
  Backend& backend;
  ParameterStore& store;
  Workspace& workspace;
  bool training = false;
  Precision precision = Precision::float32;  ///< of the operands of matrix products
  bool accumulate = false;                   ///< add to gradients instead of overwriting them
  std::uint64_t seed = 0;
  std::uint32_t step = 0;
  std::int64_t first_sample = 0;  ///< number of the first sample within the global batch
  std::int64_t samples = 0;
  /// Called in backward by every layer with parameters, with the end of its own (ParameterStore::end_layer):
  /// all gradients before this offset of the arena are complete.
  std::function<void(std::int64_t end)> gradients_ready = nullptr;
  /// May be called by the layer whose own come next: of these, too, all before `end` are complete.
  std::function<void(std::int64_t end)> gradients_so_far = nullptr;
};

class Layer {
 public:
  virtual ~Layer() = default;
  /// x stays untouched and alive until backward. The result lives in the workspace.
  virtual Matrix forward(Pass& pass, Matrix x) = 0;
  /// dy may be overwritten. Returns dx, or an empty Matrix unless `needs_dx`.
  virtual Matrix backward(Pass& pass, Matrix dy, bool needs_dx) = 0;
};

using LayerPtr = std::unique_ptr<Layer>;

/// The number of columns that a layer gives, known when the network is built. `time`: rows per sample.
struct Width {
  std::int64_t cols = 0, time = 1;
};

}  // namespace rondo
