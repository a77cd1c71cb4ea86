// What a card could compute at best, from its clocks and its units.
#pragma once

#include "rondo/device/tensor.hpp"

namespace rondo {

/// FLOP/s of products of such operands summed in float32 (of float32: without tensor cores); 0 where the
/// driver does not tell the clock or the units of that compute capability are not in the table.
double peak_flops(int device, Precision operands);

}  // namespace rondo
