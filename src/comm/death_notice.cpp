#include "death_notice.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "rondo/core/error.hpp"
#include "ulfm.hpp"

namespace rondo {
namespace {

constexpr int kLookEvery = 100;  // milliseconds, where the kernel has no pidfd to wake us

}  // namespace

DeathNotice::DeathNotice(const std::vector<std::string>& cards, std::vector<int> seats, int own_rank)
    : peers_(cards, own_rank), seats_(std::move(seats)), stop_(eventfd(0, EFD_CLOEXEC)) {
  RONDO_CHECK(stop_ >= 0, "no eventfd is to be had");
  thread_ = std::thread([this] { loop(); });
}

DeathNotice::~DeathNotice() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t ignored = write(stop_, &one, sizeof one);
  thread_.join();
  close(stop_);
}

void DeathNotice::loop() {
  std::vector<pollfd> events{{stop_, POLLIN, 0}};
  for (const int handle : peers_.handles()) events.push_back({handle, POLLIN, 0});
  for (;;) {
    poll(events.data(), events.size(), kLookEvery);
    if (events[0].revents != 0) return;
    for (const int rank : peers_.newly_dead()) ulfm::tell_dead(seats_[static_cast<std::size_t>(rank)]);
    for (std::size_t i = 1; i < events.size(); ++i)
      if (events[i].revents != 0) events[i].fd = -1;  // told
  }
}

}  // namespace rondo
