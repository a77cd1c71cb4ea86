/// ParameterStore: all weights of a model in one flat arena, gradients in another of the same layout.
///
/// Tensors are laid out in the order in which they are added, which is the order in which backward
/// completes their gradients; so a bucket of ready gradients is a span. Every tensor starts on a block
/// (kBlock values); the padding stays zero. Who consumes gradients as soon as they are ready needs memory
/// for one layer's only: see attach_layer().
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "rondo/core/state.hpp"
#include "rondo/device/backend.hpp"

namespace rondo {

/// How a tensor begins: uniform in [-bound, bound] around `centre`. bound 0: the constant `centre`.
struct Init {
  double centre = 0, bound = 0;
};

struct Parameter {
  std::string name;
  std::vector<std::int64_t> shape;
  Init init;
  bool decay = true;  ///< whether weight decay applies (not to biases and gains)
  std::int64_t offset = 0, size = 0;
  std::int64_t end() const { return offset + blocks_for(size) * kBlock; }  ///< padding included
};

class ParameterStore {
 public:
  /// Adds a tensor; returns its index. Only before allocate().
  int add(std::string name, std::vector<std::int64_t> shape, Init init, bool decay);
  /// Ends a layer: gradients of the tensors added since the last call become ready together. Returns where
  /// the arena ends so far.
  std::int64_t end_layer();
  /// Makes the value arena and fills it as a function of (seed, tensor, element). The backend outlives this,
  /// and so does `memory`, if the arena is to lie there: zeroed device memory of values() numbers.
  void allocate(Backend& backend, std::uint64_t seed, real* memory = nullptr);
  /// The values move there (see allocate()), or, if null, into memory of the store's own. Layers see them
  /// from then on; what they lay in may go.
  void move(real* memory);
  /// Where gradients go: zeroed device memory for values() numbers that outlives this object's use.
  void attach_gradients(real* memory) { gradients_ = memory, gradients_begin_ = 0; }
  /// Gradients of the layer that starts at `begin` go to `memory` from now on, where its padding becomes
  /// zero. At the end of the arena: nothing.
  void attach_layer(std::int64_t begin, real* memory);

  std::int64_t values() const { return total_; }  ///< size of an arena, padding included
  std::int64_t blocks() const { return total_ / kBlock; }
  std::int64_t largest_layer() const;    ///< of an arena's numbers, padding included
  std::int64_t parameter_count() const;  ///< without padding
  const std::vector<Parameter>& list() const { return list_; }
  real* value(int index) {
    return (viewed_ != nullptr ? viewed_ : arena()) + list_[static_cast<std::size_t>(index)].offset;
  }
  real* gradient(int index) {
    return gradients_ + (list_[static_cast<std::size_t>(index)].offset - gradients_begin_);
  }
  real* arena() { return arena_; }

  /// Lets layers see another arena of this layout (averaged weights) until view(nullptr).
  void view(real* other) { viewed_ = other, touch(); }

  /// Changes whenever values change, so that layers know when copies of weights are stale.
  std::int64_t version() const { return version_; }
  void touch() { ++version_; }

  /// Visits any arena of this layout (values, momentum, ...) tensor by tensor as "prefix/name".
  void visit(StateVisitor& visitor, const std::string& prefix, real* arena);

 private:
  std::vector<Parameter> list_;
  std::vector<std::int64_t> layer_ends_;
  std::int64_t total_ = 0, version_ = 0, gradients_begin_ = 0;
  Backend* backend_ = nullptr;
  std::unique_ptr<Buffer> values_;  // unless the arena lies in somebody else's memory
  real* arena_ = nullptr;
  real* gradients_ = nullptr;
  real* viewed_ = nullptr;
};

}  // namespace rondo
