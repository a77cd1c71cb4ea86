// What the rest of the device module knows of CUDA. src/device/cuda/ is behind it, or, in a build without
// CUDA, the stand-in cuda_missing.cpp.
#pragma once

#include <memory>
#include <string>

#include "rondo/device/backend.hpp"

namespace rondo {

bool built_with_cuda();
/// Empty if a card can be used here, else the reason, in words for a user.
std::string why_not_cuda();
/// The backend on this rank's card: number `local_rank` of the host's, or the only one that the rank was
/// given to see. Throws InputError where `local_size` ranks would have to share cards.
std::unique_ptr<Backend> make_cuda_backend(int local_rank, int local_size);

}  // namespace rondo
