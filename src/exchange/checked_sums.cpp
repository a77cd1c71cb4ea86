#include "checked_sums.hpp"

#include <algorithm>

namespace rondo {

namespace {
constexpr std::uint32_t kFaultBuckets = 1u << 16;  // so that as many ranks have names
}

CheckedSums::CheckedSums(Backend& backend, Transport& transport, Arena sums, const Communicator& comm,
                         const Buckets& buckets, std::vector<WordRange> scattered)
    : backend_(backend),
      transport_(transport),
      sums_(std::move(sums)),
      checks_(transport.allocate(sums_.own.size() / kSliceWords)),
      buckets_(buckets),
      rank_(comm.rank()),
      to_(scattered.empty() ? SumTo::every_rank : SumTo::owners),
      alone_(comm.size() == 1 && !sealed()),
      checksums_of_sums_(backend, checks_.own.size()),
      seals_(sums_.peers.size()) {
  for (const WordRange range : scattered) mine_.push_back(blocks_of(slice_of(range, rank_, comm.size())));
  if (scattered.empty()) mine_.push_back({0, static_cast<std::int64_t>(checks_.own.size())});
}

void CheckedSums::clear_checks() { backend_.clear(checks_.own.data(), checks_.own.size_bytes()); }

void CheckedSums::check(BlockSpan blocks) {
  const std::uint32_t* const words = sums_.own.data();
  if (sealed())
    for (std::int64_t b = blocks.begin; b < blocks.end; ++b) *checks(b) = simd().seal(words + b * kBlock);
  else if (!alone_)
    backend_.checksum(words + blocks.begin * kBlock, blocks.count(), checks(blocks.begin));
}

void CheckedSums::start(WordRange bucket) {
  if (sealed())
    transport_.start(bucket, [this](WordRange slice) { verify_and_sum(slice); });
  else if (!alone_)
    transport_.start(sums_, bucket, SumType::int32, to_);
}

void CheckedSums::start_checksums() {
  if (!sealed() && !alone_) transport_.start(checks_, {0, checks_.own.size()}, SumType::int32);
}

void CheckedSums::verify_and_sum(WordRange slice) {
  for (std::size_t at = slice.begin; at < slice.end; at += kSliceWords) {
    simd().sum_sealed_i32(sums_.peers.data(), static_cast<int>(seals_.size()), at,
                          to_ == SumTo::owners ? rank_ : kEveryRank, seals_.data());
    verify_seals(at / kSliceWords);
  }
}

void CheckedSums::verify_seals(std::size_t block, bool with_own) {
  for (int r = 0; r < static_cast<int>(seals_.size()); ++r)
    if ((with_own || r != rank_) && seals_[r] != checks_.peers[r][block]) blame(r, block);
}

void CheckedSums::verify() {
  if (alone_ || sealed()) return;  // verify_and_sum() has
  for (const BlockSpan mine : mine_)
    backend_.checksum(sums_.own.data() + static_cast<std::size_t>(mine.begin) * kSliceWords, mine.count(),
                      checksums_of_sums_.data() + mine.begin);
  std::vector<std::uint32_t> got(checks_.own.size()), expected(got.size());
  checksums_of_sums_.get(got);
  backend_.copy_out(expected.data(), checks_.own.data(), expected.size() * sizeof(std::uint32_t));
  for (const BlockSpan mine : mine_)
    for (auto b = static_cast<std::size_t>(mine.begin); b < static_cast<std::size_t>(mine.end); ++b)
      if (got[b] != expected[b] % kChecksumPrime) blame(rank_, b);
}

void CheckedSums::blame(int rank, std::size_t block) {
  const std::int64_t bucket = buckets_.bucket_of(static_cast<std::int64_t>(block));
  fault_ = static_cast<std::uint32_t>(rank + 1) * kFaultBuckets +
           static_cast<std::uint32_t>(std::min<std::int64_t>(bucket, kFaultBuckets - 1));
}

Corruption CheckedSums::named(std::uint32_t fault) {
  return {static_cast<int>(fault / kFaultBuckets) - 1, std::int64_t{fault % kFaultBuckets}};
}

}  // namespace rondo
