/// Sums by MPI's own all-reduce: what the other transports are measured against.
#pragma once

#include "message_transport.hpp"

namespace rondo {

class MpiTransport final : public MessageTransport {
 public:
  using MessageTransport::MessageTransport;
  std::string_view name() const override { return "mpi"; }

 private:
  Advance advance(const Job& job) override;
  std::string waiting_for() const override { return "all ranks to join MPI_Iallreduce"; }

  MPI_Request request_ = MPI_REQUEST_NULL;
  std::size_t at_ = 0;  // words of the oldest job that were given to MPI
};

}  // namespace rondo
