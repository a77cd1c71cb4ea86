#include "checked_sums.hpp"

#include <algorithm>

namespace rondo {

namespace {
constexpr std::uint32_t kFaultBlocks = 1u << 20;
}

CheckedSums::CheckedSums(Backend& backend, Transport& transport, Arena sums, const Communicator& comm,
                         std::vector<WordRange> scattered)
    : backend_(backend),
      transport_(transport),
      sums_(std::move(sums)),
      checksums_(transport.allocate(sums_.own.size() / kSliceWords)),
      rank_(comm.rank()),
      to_(scattered.empty() ? SumTo::every_rank : SumTo::owners),
      alone_(comm.size() == 1 && !shares_memory()),
      checksums_of_sums_(backend, checksums_.own.size()) {
  for (const WordRange range : scattered) mine_.push_back(blocks_of(slice_of(range, rank_, comm.size())));
  if (scattered.empty()) mine_.push_back({0, static_cast<std::int64_t>(checksums_.own.size())});
}

void CheckedSums::clear_checksums() { backend_.clear(checksums_.own.data(), checksums_.own.size_bytes()); }

void CheckedSums::start(WordRange bucket) {
  if (shares_memory())
    transport_.start(bucket, [this](WordRange slice) { sum_and_verify(slice); });
  else if (!alone_)
    transport_.start(sums_, bucket, SumType::int32, to_);
}

void CheckedSums::start_checksums() {
  if (!shares_memory() && !alone_) transport_.start(checksums_, {0, checksums_.own.size()}, SumType::int32);
}

void CheckedSums::sum_and_verify(WordRange slice) {
  for (std::size_t at = slice.begin; at < slice.end; at += kSliceWords) {
    simd().sum_i32(sums_.peers.data(), static_cast<int>(sums_.peers.size()), at, at + kSliceWords,
                   to_ == SumTo::owners ? rank_ : kEveryRank);
    std::uint32_t expected = 0;
    for (const std::uint32_t* checksums : checksums_.peers) expected += checksums[at / kSliceWords];
    if (expected % kChecksumPrime != simd().checksum(sums_.own.data() + at, kSliceWords))
      blame(at / kSliceWords);
  }
}

void CheckedSums::verify() {
  if (alone_ || shares_memory()) return;  // sum_and_verify() has
  for (const BlockSpan mine : mine_)
    backend_.checksum(sums_.own.data() + static_cast<std::size_t>(mine.begin) * kSliceWords, mine.count(),
                      checksums_of_sums_.data() + mine.begin);
  std::vector<std::uint32_t> got(checksums_.own.size()), expected(got.size());
  checksums_of_sums_.get(got);
  backend_.copy_out(expected.data(), checksums_.own.data(), expected.size() * sizeof(std::uint32_t));
  for (const BlockSpan mine : mine_)
    for (auto b = static_cast<std::size_t>(mine.begin); b < static_cast<std::size_t>(mine.end); ++b)
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
