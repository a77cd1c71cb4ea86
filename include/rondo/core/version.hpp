/// What this program was built from.
#pragma once

#include <string>

namespace rondo {

std::string version();     ///< "0.1.0"
std::string build_info();  ///< commit, compiler and build type, for the numerics fingerprint

}  // namespace rondo
