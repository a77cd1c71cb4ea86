#include "nccl/collective.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "runtime/enqueue.h"

namespace gpusim {
namespace {

// Summed in the order of the ranks, so that every rank gets the same bits.
template <class T>
void combine(T* into, const T* from, size_t n, int op) {
  for (size_t i = 0; i < n; ++i) {
    switch (op) {
      case ncclProd:
        into[i] = static_cast<T>(into[i] * from[i]);
        break;
      case ncclMax:
        into[i] = std::max(into[i], from[i]);
        break;
      case ncclMin:
        into[i] = std::min(into[i], from[i]);
        break;
      default:
        if constexpr (std::is_integral_v<T>) {
          using U = std::make_unsigned_t<T>;
          into[i] = static_cast<T>(static_cast<U>(into[i]) + static_cast<U>(from[i]));
        } else {
          into[i] += from[i];
        }
    }
  }
}

void combine_bytes(void* into, const void* from, size_t n, int type, int op) {
  auto as = [&](auto zero) {
    using T = decltype(zero);
    combine(static_cast<T*>(into), static_cast<const T*>(from), n, op);
  };
  switch (type) {
    case ncclInt8:
      return as(int8_t{});
    case ncclUint8:
      return as(uint8_t{});
    case ncclInt32:
      return as(int32_t{});
    case ncclUint32:
      return as(uint32_t{});
    case ncclInt64:
      return as(int64_t{});
    case ncclUint64:
      return as(uint64_t{});
    case ncclFloat32:
      return as(float{});
    default:
      return as(double{});
  }
}

}  // namespace

size_t type_bytes(int type) {
  switch (type) {
    case ncclInt8:
    case ncclUint8:
      return 1;
    case ncclInt32:
    case ncclUint32:
    case ncclFloat32:
      return 4;
    case ncclInt64:
    case ncclUint64:
    case ncclFloat64:
      return 8;
    default:
      return 0;
  }
}

uint64_t Collective::total() const {
  return shape_.kind == reduce_scatter ? shape_.count * static_cast<uint64_t>(comm_->ranks) : shape_.count;
}

// GPUSIM_NCCL_FAIL or GPUSIM_NCCL_HANG = "RANK:N": what happens in that rank's collective number N, from 0.
static bool asked_for(const char* variable, int rank, uint64_t number) {
  const char* text = std::getenv(variable);
  return text && std::to_string(rank) + ":" + std::to_string(number) == text;
}

bool Collective::advance() {
  Communicator& c = *comm_;
  if (c.aborted || c.failed) return true;
  if (asked_for("GPUSIM_NCCL_HANG", c.rank, number_)) return false;
  if (asked_for("GPUSIM_NCCL_FAIL", c.rank, number_)) return c.failed = true;
  if (c.active && c.active != this) return false;
  c.active = this;
  while (at_ < total()) {
    if (chunk_ == 0) {
      if (!can_post()) return false;
      post();
    }
    if (!all_posted()) return false;
    if (c.aborted) break;
    take();
  }
  c.active = nullptr;
  return true;
}

// A slot may be overwritten when everybody has consumed what it held.
bool Collective::can_post() const {
  uint64_t next = comm_->chunks + 1;
  for (int r = 0; r < comm_->ranks; ++r)
    if (comm_->segment->ranks[r].consumed + 2 < next) return false;
  return true;
}

void Collective::post() {
  size_t size = type_bytes(shape_.type);
  uint64_t part = at_ / shape_.count * shape_.count;  // of a scatter; a chunk stays within one part
  chunk_ = std::min<uint64_t>(chunk_bytes / size, part + shape_.count - at_);
  uint64_t number = ++comm_->chunks;
  Segment& s = *comm_->segment;
  std::memcpy(s.data[comm_->rank][number % 2], static_cast<const char*>(gpusim_bytes(send_)) + at_ * size,
              chunk_ * size);
  s.ranks[comm_->rank].shape[number % 2] = shape_;
  s.ranks[comm_->rank].posted = number;
}

bool Collective::all_posted() {
  uint64_t number = comm_->chunks;
  for (int r = 0; r < comm_->ranks; ++r) {
    Segment::Rank& other = comm_->segment->ranks[r];
    if (other.posted < number) return false;
    if (other.shape[number % 2] == shape_) continue;
    gpusim_report("NCCL ranks disagree",
                  ("rank " + std::to_string(comm_->rank) + " and rank " + std::to_string(r) +
                   " call different collectives, or with other counts (" + std::to_string(shape_.count) +
                   " and " + std::to_string(other.shape[number % 2].count) + ")")
                      .c_str());
    comm_->aborted = true;
    return true;
  }
  return true;
}

void Collective::take() {
  Segment& s = *comm_->segment;
  uint64_t number = comm_->chunks;
  size_t size = type_bytes(shape_.type), bytes = chunk_ * size;
  auto posted = [&](int rank) { return s.data[rank][number % 2]; };
  auto mine = static_cast<uint64_t>(comm_->rank);
  char* out = receive_ ? static_cast<char*>(gpusim_bytes(receive_)) : nullptr;
  if (shape_.kind == all_gather) {
    for (int r = 0; r < comm_->ranks; ++r)
      std::memcpy(out + (static_cast<uint64_t>(r) * shape_.count + at_) * size, posted(r), bytes);
  } else if (shape_.kind == broadcast) {
    std::memcpy(out + at_ * size, posted(shape_.root), bytes);
  } else {
    bool wanted = shape_.kind == all_reduce || (shape_.kind == reduce && comm_->rank == shape_.root) ||
                  (shape_.kind == reduce_scatter && at_ / shape_.count == mine);
    uint64_t to = shape_.kind == reduce_scatter ? at_ % shape_.count : at_;
    if (wanted) {
      std::memcpy(out + to * size, posted(0), bytes);
      for (int r = 1; r < comm_->ranks; ++r)
        combine_bytes(out + to * size, posted(r), chunk_, shape_.type, shape_.op);
    }
  }
  s.ranks[comm_->rank].consumed = number;
  at_ += chunk_;
  chunk_ = 0;
}

}  // namespace gpusim
