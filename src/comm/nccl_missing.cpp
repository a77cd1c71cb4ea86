// Stands in for nccl_transport.cpp in a build without CUDA or NCCL.
#include "nccl.hpp"
#include "rondo/core/error.hpp"

namespace rondo {

std::string why_no_nccl() { return "this build has no NCCL (libnccl-dev, beside the CUDA toolkit)"; }

std::string nccl_version() { return why_no_nccl(); }

std::unique_ptr<Transport> make_nccl_transport(MpiCommunicator&, Backend&) { throw Error(why_no_nccl()); }

}  // namespace rondo
