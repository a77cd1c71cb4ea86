/// exchange.compression = "auto": whether compression pays on these hosts, decided once before step 0.
#pragma once

#include <string>

#include "rondo/train/run_config.hpp"

namespace rondo {

/// Puts "int8" or "none" in the place of "auto" and returns the decision with its reason as a line for the
/// log; leaves any other choice alone and returns "". Collective; the task is open.
///
/// Where ranks share memory, compute on GPUs or are alone, the answer is "none" without a look. Elsewhere
/// both ways train for a few steps in turns, and all of it is thrown away: a prediction that knows this
/// model, this link, these ranks and how much of the exchange backward hides.
std::string resolve_compression(RunConfig& config, Backend& backend, Communicator& comm);

}  // namespace rondo
