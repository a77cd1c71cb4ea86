#include "rondo/survive/roster.hpp"

#include <algorithm>

#include "rondo/core/config.hpp"
#include "rondo/core/error.hpp"

namespace rondo {

void SpareOptions::visit(Fields& f) {
  f.field("recovery.spares", count, {0, 1 << 16}, Effect::operational,
          "ranks, the last ones, that run no micro-batches until they take over from one that is lost; for "
          "mpirun --with-ft ulfm");
}

Roster::Roster(std::vector<std::string> hosts, std::int64_t spares) {
  const std::int64_t ranks = std::ssize(hosts);
  if (spares >= ranks)
    input_error("recovery.spares = {}, but mpirun started {} rank(s): start more, or lower it to at most {}",
                spares, ranks, ranks - 1);
  for (std::int64_t rank = 0; rank < ranks; ++rank)
    members_.push_back(
        {static_cast<int>(rank), std::move(hosts[static_cast<std::size_t>(rank)]), rank >= ranks - spares});
}

int Roster::active() const { return place(size()); }

int Roster::place(int rank) const {
  return static_cast<int>(std::count_if(members_.begin(), members_.begin() + rank,
                                        [](const Member& member) { return !member.spare; }));
}

std::string Roster::lose(std::span<const int> seats) {
  std::vector<Member> gone;
  std::erase_if(members_, [&](const Member& member) {
    if (std::ranges::find(seats, member.seat) == seats.end()) return false;
    gone.push_back(member);
    return true;
  });
  std::string account;
  const auto say = [&](const std::string& text) { account += (account.empty() ? "" : "; ") + text; };
  for (const Member& lost : gone) {
    if (lost.spare) {
      say(fmt::format("rank {} was a spare", lost.seat));
      continue;
    }
    Member* next = next_spare(lost.host, false);
    if (next == nullptr) next = next_spare(lost.host, true);
    if (next == nullptr) continue;
    next->spare = next->retired = false;
    say(fmt::format("spare rank {} takes over from rank {}", next->seat, lost.seat));
  }
  return account;
}

Roster::Member* Roster::next_spare(const std::string& host, bool retired) {
  Member* next = nullptr;
  for (Member& member : members_) {
    if (!member.spare || member.retired != retired) continue;
    if (member.host == host) return &member;
    if (next == nullptr) next = &member;
  }
  return next;
}

std::string Roster::retire(int place) {
  auto slow = members_.begin();
  while (slow->spare || place-- > 0) ++slow;
  Member* next = next_spare(slow->host, false);
  slow->spare = slow->retired = true;
  const std::string account = fmt::format("rank {} is a spare from now on", slow->seat);
  if (next == nullptr) return account;
  next->spare = false;
  return account + fmt::format("; spare rank {} takes its place", next->seat);
}

}  // namespace rondo
