// Builds one network from its lines of words.
#pragma once

#include <string>
#include <vector>

#include "rondo/nn/layer.hpp"

namespace rondo {

struct BuiltNetwork {
  LayerPtr root;
  double forward_flops = 0;  // products of one sample
  double first_flops = 0;    // those of the first layer, whose backward needs no dx
};

/// `first_number`: number of the network's first layer, for dropout. Throws InputError naming the layer.
BuiltNetwork build_network(ParameterStore& store, const std::string& prefix,
                           const std::vector<std::string>& layers, std::int64_t inputs, std::int64_t outputs,
                           std::uint32_t first_number);

}  // namespace rondo
