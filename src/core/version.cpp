#include "rondo/core/version.hpp"

namespace rondo {

std::string version() { return RONDO_VERSION; }

std::string build_info() { return std::string(RONDO_COMMIT) + " " + RONDO_COMPILER + " " + RONDO_BUILD; }

}  // namespace rondo
