#include "rondo/exchange/exchange.hpp"

#include "exact.hpp"
#include "rondo/core/config.hpp"

namespace rondo {

void ExchangeOptions::visit(Fields& f) {
  f.field("exchange.arithmetic", arithmetic, "exact|float32", Effect::bits,
          "exact: same bits at any number of ranks; float32: as other trainers do");
  f.field("exchange.algorithm", algorithm, "auto|shared|ring|hierarchical|tree|mpi|nccl", Effect::operational,
          "how ranks sum gradients");
  f.field("exchange.bucket_bytes", bucket_bytes, {4096, std::int64_t{1} << 32}, Effect::operational,
          "gradients leave in buckets of this size");
  f.field("exchange.timeout_s", timeout_s, {0.1, 86400}, Effect::operational,
          "deadline of every wait for peers");
}

std::unique_ptr<Exchange> make_exchange(const ExchangeOptions& options, Backend& backend, Communicator& comm,
                                        Transport& transport, ParameterStore& store,
                                        std::int64_t micro_batches) {
  auto exchange = options.arithmetic == "exact"
                      ? make_exact_exchange(options, backend, comm, transport, store, micro_batches)
                      : make_float32_exchange(options, backend, comm, transport, store, micro_batches);
  store.attach_gradients(exchange->gradients());
  return exchange;
}

}  // namespace rondo
