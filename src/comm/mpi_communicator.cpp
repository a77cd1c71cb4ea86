#include "mpi_communicator.hpp"

#include <sched.h>

#include <algorithm>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <numeric>

#include "mpi_settings.hpp"
#include "rondo/core/error.hpp"
#include "rondo/core/phase.hpp"
#include "ulfm.hpp"

namespace rondo {

void mpi_check(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  const std::string what =
      fmt::format("{} failed: {}", call, std::string_view(text, static_cast<std::size_t>(length)));
  if (ulfm::is_loss(code)) throw RankLost(what);
  throw Error(what);
}

std::unique_ptr<Communicator> Communicator::world(double timeout_s) {
  return std::make_unique<MpiCommunicator>(MPI_COMM_WORLD, timeout_s);
}

std::unique_ptr<Communicator> Communicator::alone(double timeout_s) {
  return std::make_unique<MpiCommunicator>(MPI_COMM_SELF, timeout_s);
}

MpiCommunicator::MpiCommunicator(MPI_Comm ranks, double timeout_s) : timeout_s_(timeout_s) {
  int started = 0;
  mpi_check(MPI_Initialized(&started), "MPI_Initialized");
  if (started == 0) {
    prepare_mpi();
    int provided = MPI_THREAD_SINGLE;
    mpi_check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
    started_mpi_ = true;
    // Open MPI writes to sockets whose other end may have died a moment ago.
    if (recovers()) std::signal(SIGPIPE, SIG_IGN);
    RONDO_CHECK(provided >= MPI_THREAD_FUNNELED, "this MPI library cannot be used beside other threads");
  }
  mpi_check(MPI_Comm_set_errhandler(ranks, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  mpi_check(MPI_Comm_rank(ranks, &rank_), "MPI_Comm_rank");
  mpi_check(MPI_Comm_size(ranks, &size_), "MPI_Comm_size");
  comm_ = duplicate_of(ranks);
  find_nodes();
  count_cores();
  if (started_mpi_) {
    // Who tells Open MPI to yield knows of others on these cores.
    const char* yields = std::getenv("OMPI_MCA_mpi_yield_when_idle");
    Patience::share_cores(local_size_ > cores_ || (yields != nullptr && *yields == '1'));
  }
  cards_ = gather_texts(PeerWatch::card());
  peers_ = std::make_unique<PeerWatch>(cards_, rank_);
  seats_.resize(static_cast<std::size_t>(size_));
  std::iota(seats_.begin(), seats_.end(), 0);
  if (ulfm::active() && started_mpi_) notice_ = std::make_unique<DeathNotice>(cards_, seats_, rank_);
}

MpiCommunicator::~MpiCommunicator() {
  if (parent_ != nullptr) std::erase(parent_->groups_, this);
  for (MpiCommunicator* group : groups_) group->parent_ = nullptr;  // one that lives longer
  // MPI_Finalize waits for all ranks without a deadline, so it is called only when all are known to come.
  if (failed_ || std::uncaught_exceptions() > 0 || ulfm::revoked(comm_)) return;
  try {
    barrier();
    for (MPI_Comm& comm : owned_) mpi_check(MPI_Comm_free(&comm), "MPI_Comm_free");
    if (started_mpi_) mpi_check(MPI_Finalize(), "MPI_Finalize");
  } catch (const std::exception& error) {
    fmt::print(stderr, "rank {}: while leaving MPI: {}\n", rank_, error.what());
  }
}

// The split and its end cannot be given a deadline, so they come where every rank has just been seen.
void MpiCommunicator::find_nodes() {
  barrier();
  MPI_Comm node = MPI_COMM_NULL;
  mpi_check(MPI_Comm_split_type(comm_, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &node),
            "MPI_Comm_split_type");
  mpi_check(MPI_Comm_rank(node, &local_rank_), "MPI_Comm_rank");
  mpi_check(MPI_Comm_size(node, &local_size_), "MPI_Comm_size");
  int lowest = rank_;
  mpi_check(MPI_Bcast(&lowest, 1, MPI_INT, 0, node), "MPI_Bcast");
  mpi_check(MPI_Comm_free(&node), "MPI_Comm_free");
  std::vector<std::uint64_t> lowest_of(size_);
  lowest_of[rank_] = static_cast<std::uint64_t>(lowest);
  sum(lowest_of);
  std::vector<std::uint64_t> all(lowest_of);
  std::ranges::sort(all);
  all.erase(std::unique(all.begin(), all.end()), all.end());
  for (const std::uint64_t first : lowest_of)
    nodes_.push_back(static_cast<int>(std::ranges::find(all, first) - all.begin()));
}

void MpiCommunicator::count_cores() {
  cpu_set_t mine{}, all{};
  sched_getaffinity(0, sizeof mine, &mine);
  const std::vector<std::string> sets = gather_texts({reinterpret_cast<const char*>(&mine), sizeof mine});
  for (const int rank : ranks_here()) {
    std::memcpy(&mine, sets[static_cast<std::size_t>(rank)].data(), sizeof mine);
    CPU_OR(&all, &all, &mine);
  }
  cores_ = CPU_COUNT(&all);
}

std::vector<int> MpiCommunicator::ranks_here() const {
  std::vector<int> ranks;
  for (int rank = 0; rank < size_; ++rank)
    if (nodes_[rank] == nodes_[rank_]) ranks.push_back(rank);
  return ranks;
}

std::unique_ptr<MpiCommunicator> MpiCommunicator::node_group() {
  barrier();
  MPI_Comm node = MPI_COMM_NULL;
  mpi_check(MPI_Comm_split(comm_, nodes_[rank_], rank_, &node), "MPI_Comm_split");
  auto group = std::make_unique<MpiCommunicator>(node, timeout_s_);
  mpi_check(MPI_Comm_free(&node), "MPI_Comm_free");
  group->parent_ = this;
  groups_.push_back(group.get());
  return group;
}

MPI_Comm MpiCommunicator::duplicate_of(MPI_Comm other) {
  MPI_Comm copy = MPI_COMM_NULL;
  MPI_Request request = MPI_REQUEST_NULL;
  mpi_check(MPI_Comm_idup(other, &copy, &request), "MPI_Comm_idup");
  wait(request, "all ranks to join a new communicator");
  mpi_check(MPI_Comm_set_errhandler(copy, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  owned_.push_back(copy);
  return copy;
}

MPI_Comm MpiCommunicator::duplicate() {
  check_usable();
  return duplicate_of(comm_);
}

void MpiCommunicator::check_usable() const {
  RONDO_CHECK(!failed_, "a wait of this communicator has failed before");
}

void MpiCommunicator::look_round(const Patience& patience, const std::function<std::string()>& what) {
  note_wait();
  const int dead = peers_ == nullptr ? -1 : peers_->first_dead();
  if (dead < 0 && !patience.expired()) return look_for_revocation();
  failed_ = true;
  if (dead >= 0) {
    const std::string text =
        fmt::format("the process of rank {} has died (rank {} was waiting for {})", dead, rank_, what());
    if (recovers()) throw RankLost(text);
    throw Error(text);
  }
  throw Error(fmt::format("rank {} waited {:.1f} s for {}: a rank is dead or stuck", rank_, patience.waited(),
                          what()));
}

void MpiCommunicator::wait(MPI_Request& request, const char* what) {
  Patience patience(timeout_s_);
  for (;;) {
    int done = 0;
    mpi_check(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "MPI_Test");
    if (done != 0) return;
    if (!patience.pause()) continue;
    try {
      look_round(patience, [what] { return std::string(what); });
    } catch (const RankLost&) {
      top().revoke();  // else the request would go on with memory that the caller takes away
      settle(comm_, request);
      throw;
    }
  }
}

void MpiCommunicator::barrier() {
  check_usable();
  MPI_Request request = MPI_REQUEST_NULL;
  mpi_check(MPI_Ibarrier(comm_, &request), "MPI_Ibarrier");
  wait(request, "all ranks to reach a barrier");
}

void MpiCommunicator::broadcast(std::span<std::byte> data, int root) {
  check_usable();
  for (std::size_t at = 0; at < data.size(); at += kMpiBytes) {
    const int count = static_cast<int>(std::min(kMpiBytes, data.size() - at));
    MPI_Request request = MPI_REQUEST_NULL;
    mpi_check(MPI_Ibcast(data.data() + at, count, MPI_BYTE, root, comm_, &request), "MPI_Ibcast");
    wait(request, "a broadcast");
  }
}

std::vector<std::string> MpiCommunicator::gather_texts(const std::string& mine) {
  check_usable();
  RONDO_CHECK(mine.size() <= INT_MAX, "a text of {} bytes is too long to gather", mine.size());
  const int length = static_cast<int>(mine.size());
  std::vector<int> lengths(size_), offsets(size_);
  MPI_Request request = MPI_REQUEST_NULL;
  mpi_check(MPI_Iallgather(&length, 1, MPI_INT, lengths.data(), 1, MPI_INT, comm_, &request),
            "MPI_Iallgather");
  wait(request, "all ranks to give the length of a text");
  const auto total = std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0});
  RONDO_CHECK(total <= INT_MAX, "texts of {} bytes together are too long to gather", total);
  std::exclusive_scan(lengths.begin(), lengths.end(), offsets.begin(), 0);
  std::string all(static_cast<std::size_t>(total), '\0');
  mpi_check(MPI_Iallgatherv(mine.data(), length, MPI_CHAR, all.data(), lengths.data(), offsets.data(),
                            MPI_CHAR, comm_, &request),
            "MPI_Iallgatherv");
  wait(request, "all ranks to give a text");
  std::vector<std::string> texts;
  for (int rank = 0; rank < size_; ++rank) texts.push_back(all.substr(offsets[rank], lengths[rank]));
  return texts;
}

void MpiCommunicator::sum(std::span<std::uint64_t> values) {
  check_usable();
  constexpr std::size_t kPiece = kMpiBytes / sizeof(std::uint64_t);
  for (std::size_t at = 0; at < values.size(); at += kPiece) {
    const int count = static_cast<int>(std::min(kPiece, values.size() - at));
    MPI_Request request = MPI_REQUEST_NULL;
    mpi_check(MPI_Iallreduce(MPI_IN_PLACE, values.data() + at, count, MPI_UINT64_T, MPI_SUM, comm_, &request),
              "MPI_Iallreduce");
    wait(request, "a sum over all ranks");
  }
}

void MpiCommunicator::abort(int code) {
  std::fflush(nullptr);
  MPI_Abort(MPI_COMM_WORLD, code);
  std::_Exit(code);
}

}  // namespace rondo
