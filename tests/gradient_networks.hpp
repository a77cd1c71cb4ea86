// The networks and models whose gradients are checked: in double precision by gradient_test, on every device
// by device_gradient_test. A new layer is checked by a line here.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "rondo/nn/model.hpp"

namespace rondo::gradients {

inline constexpr std::int64_t kSamples = 3, kTargets = 2;

struct Network {
  std::int64_t inputs;
  std::vector<std::string> layers;  // a linear layer to kTargets outputs follows
  std::int64_t ids = 0;             // inputs are whole numbers below this; 0: they are in [-1, 1)
};

inline const Network kNetworks[] = {
    {5, {}},
    {5, {"linear 4 relu"}},
    {5, {"linear 4 gelu"}},
    {5, {"linear 4 silu"}},
    {1, {"linear 1 silu"}},
    {7, {"linear 33 relu", "linear 17 gelu", "linear 5 silu"}},
    {6, {"layer_norm"}},
    {5, {"linear 7 silu", "layer_norm", "linear 3 gelu"}},
    {9, {"dropout 0.4"}},
    {5, {"linear 6 gelu", "dropout 0.25", "linear 6 silu", "dropout 0"}},
    {3, {"embedding 4 2"}, 4},
    {2, {"embedding 11 3", "linear 4 gelu"}, 11},
    {8, {"conv1d 3 2 1"}},  // a sequence of one step
    {12, {"sequence 3", "conv1d 4 1 1 relu"}},
    {12, {"sequence 3", "conv1d 4 3 1 gelu"}},
    {14, {"sequence 2", "conv1d 3 2 4 silu"}},
    {10, {"sequence 2", "conv1d 2 3 9 silu"}},  // looks back beyond the sequence
    {12, {"sequence 2", "conv1d 3 3 1 gelu", "conv1d 2 2 2 silu", "flatten", "linear 4 gelu"}},
    {12, {"sequence 4", "layer_norm", "linear 3 silu", "dropout 0.3"}},
    {5, {"residual linear 5 gelu"}},
    {5, {"residual layer_norm"}},
    {5, {"residual dropout 0.5", "residual dropout 0"}},
    {5, {"residual residual linear 5 silu", "residual residual dropout 0.5"}},
    {12, {"sequence 3", "residual conv1d 3 2 2 relu", "residual linear 3 gelu"}},
};

inline const ModelOptions kModels[] = {
    {{"linear 6 gelu", "linear 5 relu"}, 1},
    {{"linear 6 silu", "residual linear 6 gelu", "layer_norm", "dropout 0.2"}, 2},
    {{"sequence 3", "conv1d 4 2 1 silu", "residual conv1d 4 2 2 gelu", "dropout 0.1", "flatten"}, 2},
};

inline std::unique_ptr<Loss> make_loss(bool pinball) {
  return pinball ? pinball_loss({0.1, 0.5, 0.9}) : squared_loss();
}

}  // namespace rondo::gradients
