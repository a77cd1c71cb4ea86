#include "checked_sums.hpp"

#include <algorithm>

namespace rondo {

namespace {
constexpr std::uint32_t kFaultBlocks = 1u << 20;
}

CheckedSums::CheckedSums(Backend& backend, Transport& transport, Arena sums, const Communicator& comm, int to)
    : backend_(backend),
      transport_(transport),
      sums_(std::move(sums)),
      checksums_(transport.allocate(sums_.own.size() / kSliceWords)),
      rank_(comm.rank()),
      to_(to),
      alone_(comm.size() == 1 && !shares_memory()),
      checksums_of_sums_(backend, checksums_.own.size()) {}

void CheckedSums::clear_checksums() { backend_.clear(checksums_.own.data(), checksums_.own.size_bytes()); }

void CheckedSums::start(WordRange bucket) {
  if (shares_memory())
    transport_.start(bucket, [this](WordRange slice) { sum_and_verify(slice); });
  else if (!alone_)
    transport_.start(sums_, bucket, SumType::int32);
}

void CheckedSums::start_checksums() {
  if (!shares_memory() && !alone_) transport_.start(checksums_, {0, checksums_.own.size()}, SumType::int32);
}

void CheckedSums::sum_and_verify(WordRange slice) {
  for (std::size_t at = slice.begin; at < slice.end; at += kSliceWords) {
    simd().sum_i32(sums_.peers.data(), static_cast<int>(sums_.peers.size()), at, at + kSliceWords, to_);
    std::uint32_t expected = 0;
    for (const std::uint32_t* checksums : checksums_.peers) expected += checksums[at / kSliceWords];
    if (expected % kChecksumPrime != simd().checksum(sums_.own.data() + at, kSliceWords))
      blame(at / kSliceWords);
  }
}

void CheckedSums::verify() {
  if (alone_ || shares_memory()) return;  // sum_and_verify() has
  const std::size_t blocks = checksums_.own.size();
  backend_.checksum(sums_.own.data(), static_cast<std::int64_t>(blocks), checksums_of_sums_.data());
  std::vector<std::uint32_t> got(blocks), expected(blocks);
  checksums_of_sums_.get(got);
  backend_.copy_out(expected.data(), checksums_.own.data(), blocks * sizeof(std::uint32_t));
  for (std::size_t b = 0; b < got.size(); ++b)
    if (got[b] != expected[b] % kChecksumPrime) blame(b);
}

void CheckedSums::blame(std::size_t block) {
  fault_ = static_cast<std::uint32_t>(rank_ + 1) * kFaultBlocks +
           static_cast<std::uint32_t>(std::min<std::size_t>(block, kFaultBlocks - 1));
}

Corruption CheckedSums::named(std::uint32_t fault, const Buckets& buckets) {
  return {static_cast<int>(fault / kFaultBlocks) - 1, buckets.bucket_of(fault % kFaultBlocks)};
}

}  // namespace rondo
