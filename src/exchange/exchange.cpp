#include "rondo/exchange/exchange.hpp"

#include <algorithm>

#include "compressed.hpp"
#include "exact.hpp"
#include "rondo/core/config.hpp"
#include "rondo/core/error.hpp"

namespace rondo {

namespace {
constexpr std::int64_t kMostDefaultLanes =
    16;  // so that sums of int8 fit in a byte and keep four bits a lane
}

void ExchangeOptions::visit(Fields& f) {
  f.field("exchange.arithmetic", arithmetic, "exact|float32", Effect::bits,
          "exact: same bits at any number of ranks; float32: as other trainers do");
  f.field("exchange.algorithm", algorithm, "auto|shared|ring|hierarchical|tree|mpi|nccl", Effect::operational,
          "how ranks sum gradients");
  f.field("exchange.compression", compression, "none|auto|int16|int8|topk|powersgd", Effect::bits,
          "what ranks send of gradients; the rest stays for later steps. auto: int8 or none, by a trial");
  f.field("exchange.lanes", lanes, {0, 1 << 16}, Effect::bits,
          "compressed: parts of a step's micro-batches, at least the number of ranks; 0: at most 16");
  f.field("exchange.powersgd_rank", powersgd_rank, {1, 1 << 10}, Effect::bits,
          "powersgd: rank of what is sent of a matrix; one with a side less than twice that is sent whole");
  f.field("exchange.bucket_bytes", bucket_bytes, {0, std::int64_t{1} << 32}, Effect::operational,
          "gradients leave in buckets of this size, in whole blocks of 4,096; 0: 1 MiB, or more where auto "
          "has measured that latency is dear");
  f.field("exchange.timeout_s", timeout_s, {0.1, 86400}, Effect::operational,
          "deadline of every wait for peers");
}

std::int64_t lanes_of(const ExchangeOptions& options, std::int64_t micro_batches) {
  if (options.compression == "none") return micro_batches;
  std::int64_t lanes = options.lanes;
  if (lanes == 0)
    for (lanes = std::min(kMostDefaultLanes, micro_batches); micro_batches % lanes != 0;) --lanes;
  if (micro_batches % lanes != 0)
    input_error("exchange.lanes = {} must divide train.micro_batches = {}", lanes, micro_batches);
  return lanes;
}

std::unique_ptr<Exchange> make_exchange(const ExchangeOptions& options, Backend& backend, Communicator& comm,
                                        Transport& transport, ParameterStore& store,
                                        std::int64_t micro_batches, std::int64_t spares, bool scatter) {
  if (options.compression != "none" && spares > 0)
    input_error("recovery.spares = {} needs exchange.compression = \"none\", not \"{}\"", spares,
                options.compression);
  std::unique_ptr<Exchange> exchange;
  if (options.compression != "none")
    exchange = make_compressed_exchange(options, backend, comm, transport, store, micro_batches);
  else if (options.arithmetic == "exact")
    exchange =
        make_exact_exchange(options, backend, comm, transport, store, micro_batches, spares > 0, scatter);
  else
    exchange = make_float32_exchange(options, backend, comm, transport, store, micro_batches, scatter);
  store.attach_gradients(exchange->gradients());
  return exchange;
}

}  // namespace rondo
