// The compressed exchange: ranks send codes of their lanes' gradients, and what codes leave out is kept.
#pragma once

#include <memory>

#include "rondo/exchange/exchange.hpp"

namespace rondo {

std::unique_ptr<Exchange> make_compressed_exchange(const ExchangeOptions& options, Backend& backend,
                                                   Communicator& comm, Transport& transport,
                                                   ParameterStore& store, std::int64_t micro_batches);

}  // namespace rondo
