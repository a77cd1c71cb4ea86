// A small calculation on any backend, for its numerics fingerprint.
#pragma once

#include <string>

#include "rondo/device/backend.hpp"

namespace rondo {

/// The digest of products with odd and even shapes, accumulated and not, and an activation: if two machines
/// differ in their numerics, it is here that it shows.
std::string probe(Backend& backend);

}  // namespace rondo
