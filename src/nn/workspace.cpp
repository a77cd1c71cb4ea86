#include "rondo/nn/layer.hpp"

namespace rondo {

void* Workspace::bytes(std::size_t n) {
  constexpr std::size_t kChunk = std::size_t{1} << 22;
  n = (n + 63) / 64 * 64;
  for (; chunk_ < chunks_.size(); ++chunk_, used_ = 0)
    if (used_ + n <= chunks_[chunk_]->bytes()) break;
  if (chunk_ == chunks_.size()) {
    chunks_.push_back(backend_.allocate(n > kChunk ? n : kChunk));
    used_ = 0;
  }
  void* at = static_cast<std::byte*>(chunks_[chunk_]->data()) + used_;
  used_ += n;
  return at;
}

void Workspace::reset() { chunk_ = used_ = 0; }

}  // namespace rondo
