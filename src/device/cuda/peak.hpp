// What a card could compute at best, from its clocks and its units.
#pragma once

namespace rondo {

/// FLOP/s of float32 products (pedantic: no tensor cores) or of bfloat16 operands summed in float32; 0 where
/// the driver does not tell the clock or the units of that compute capability are not in the table.
double peak_flops(int device, bool bfloat16);

}  // namespace rondo
