// Signals as requests: USR1 asks for a checkpoint, TERM and INT for a checkpoint and the end.
#pragma once

#include <cstdint>

namespace rondo {

void install_signal_requests();
std::uint32_t take_request();  ///< the greatest request since the last call, see Request

}  // namespace rondo
