// Sums between GPUs, where this build has them: nccl_transport.cpp, or nccl_missing.cpp in its place.
#pragma once

#include <memory>
#include <string>

#include "mpi_communicator.hpp"
#include "rondo/comm/transport.hpp"
#include "rondo/device/backend.hpp"

namespace rondo {

/// "" where NCCL can be used, else why not, in words for a user.
std::string why_no_nccl();
/// Collective. Only where it can be used.
std::unique_ptr<Transport> make_nccl_transport(MpiCommunicator& comm, Backend& backend);

}  // namespace rondo
