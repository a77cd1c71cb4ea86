// The trainer's part that deals the optimizer's work and state to ranks, and brings them together again.
#include <algorithm>
#include <numeric>

#include "rondo/core/error.hpp"
#include "rondo/core/phase.hpp"
#include "rondo/train/trainer.hpp"

namespace rondo {

namespace {

constexpr std::size_t kPiece = 1 << 20;  // values that are broadcast at once

// Where survivors go on after a death, each share is updated twice and ranks have nothing to compare: only if
// asked for.
bool shards(const std::string& sharded, const Transport& transport, int ranks, bool recovers) {
  if (ranks == 1 || sharded == "false") return false;
  return sharded == "true" || (transport.shares_memory() && !recovers);
}

}  // namespace

// Deals the optimizer's work to the ranks that there are. Returns where weights have to lie for that; null:
// anywhere.
real* Trainer::divide() {
  weights_ = {};
  shares_.clear();
  mirrors_.reset();
  if (!shards(config_.optimizer.sharded, *transport_, comm_.size(), recovers())) return nullptr;
  const auto words = static_cast<std::size_t>(model_.store().values());
  if (recovers()) {  // with weights of its own: an owner may die while it writes
    mirrors_.emplace(roster_);
    weights_ = transport_->allocate(words);
  } else {  // all write the same first values; none goes on before all have met to make the exchange
    weights_ = transport_->allocate_common(words);
  }
  return reinterpret_cast<real*>(weights_.own.data());
}

// Whoever still has a slice gives it to all. Slices stay with those until all have everything: so more may
// die on the way.
void Trainer::restore() {
  error_context().shared = true;  // all come to the same answer
  const std::vector<int> holders = mirrors_->holders(roster_);
  error_context().shared = false;
  enter(Phase::restoring);
  gather(model_.store().arena(), holders);
  for (real* arena : optimizer_->arenas()) gather(arena, holders);
  model_.store().touch();
  comm_.commit();
  whole_ = true;
}

void Trainer::collect() {
  heed_loss();
  exchange_->collect();
  for (real* arena : optimizer_->arenas()) collect(arena);
}

void Trainer::collect(real* arena) {
  if (!sharded()) return;
  std::vector<int> owners(static_cast<std::size_t>(comm_.size()));
  std::iota(owners.begin(), owners.end(), 0);
  gather(arena, owners);
}

// Brings an arena up to date on every rank: rank holders[s] has slice s of each share.
void Trainer::gather(real* arena, std::span<const int> holders) {
  const Phase phase = Position::of(position_word()).phase;
  const auto slices = static_cast<int>(holders.size());
  std::vector<real> piece;
  const auto give = [&](WordRange slice, int holder) {
    for (std::size_t at = slice.begin; at < slice.end; at += piece.size()) {
      enter(phase);
      piece.resize(std::min(kPiece, slice.end - at));
      const std::size_t bytes = piece.size() * sizeof(real);
      if (holder == comm_.rank()) backend_.copy_out(piece.data(), arena + at, bytes);
      comm_.broadcast(std::as_writable_bytes(std::span(piece)), holder);
      if (holder != comm_.rank()) backend_.copy_in(arena + at, piece.data(), bytes);
    }
  };
  for (const WordRange share : shares_)
    for (int s = 0; s < slices; ++s) give(slice_of(share, s, slices), holders[static_cast<std::size_t>(s)]);
}

std::vector<BlockSpan> Trainer::blocks_of_rank(int rank) const {
  if (!sharded()) return {{0, model_.store().blocks()}};
  std::vector<BlockSpan> slices;
  for (const WordRange range : shares_) slices.push_back(blocks_of(slice_of(range, rank, comm_.size())));
  return slices;
}

}  // namespace rondo
