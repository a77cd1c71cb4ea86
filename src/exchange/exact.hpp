// The exact exchange: sums in fixed point, so that they do not depend on how many ranks there are.
#pragma once

#include <memory>

#include "rondo/exchange/exchange.hpp"

namespace rondo {

/// `spares`: whether a rank may run no micro-batch. `scatter`: as make_exchange says.
std::unique_ptr<Exchange> make_exact_exchange(const ExchangeOptions& options, Backend& backend,
                                              Communicator& comm, Transport& transport, ParameterStore& store,
                                              std::int64_t micro_batches, bool spares, bool scatter);
std::unique_ptr<Exchange> make_float32_exchange(const ExchangeOptions& options, Backend& backend,
                                                Communicator& comm, Transport& transport,
                                                ParameterStore& store, std::int64_t micro_batches,
                                                bool scatter);

}  // namespace rondo
