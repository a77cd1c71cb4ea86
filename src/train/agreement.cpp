#include "rondo/train/agreement.hpp"

#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <sstream>

#include "rondo/core/digest.hpp"
#include "rondo/core/error.hpp"

namespace rondo {
namespace {

// Copies what it visits; memory of an earlier copy of the same state is used again.
class Copying : public StateVisitor {
 public:
  explicit Copying(StateCopy& to) : to_(to) {}
  ~Copying() override { to_.parts.resize(next_); }
  using StateVisitor::array;
  void array(std::string_view name, DType, const StateBytes& data, std::span<const std::int64_t>) override {
    data.copy_out(place(name, data.size));
  }
  void scalar(std::string_view name, std::int64_t& value) override { keep(name, &value, sizeof value); }
  void scalar(std::string_view name, double& value) override { keep(name, &value, sizeof value); }
  void scalar(std::string_view name, std::string& value) override { keep(name, value.data(), value.size()); }

 private:
  std::byte* place(std::string_view name, std::size_t size) {
    if (next_ == to_.parts.size()) to_.parts.emplace_back();
    StateCopy::Part& part = to_.parts[next_++];
    part.name = name;
    part.bytes.resize(size);
    return part.bytes.data();
  }
  void keep(std::string_view name, const void* value, std::size_t size) {
    std::byte* to = place(name, size);
    if (size != 0) std::memcpy(to, value, size);
  }

  StateCopy& to_;
  std::size_t next_ = 0;
};

class Restoring : public StateVisitor {
 public:
  explicit Restoring(const StateCopy& from) : from_(from) {}
  using StateVisitor::array;
  void array(std::string_view, DType, const StateBytes& data, std::span<const std::int64_t>) override {
    data.copy_in(next().data());
  }
  void scalar(std::string_view, std::int64_t& value) override { get(value); }
  void scalar(std::string_view, double& value) override { get(value); }
  void scalar(std::string_view, std::string& value) override {
    const auto& bytes = next();
    value.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }

 private:
  const std::vector<std::byte>& next() { return from_.parts.at(at_++).bytes; }
  template <class T>
  void get(T& value) {
    std::memcpy(&value, next().data(), sizeof value);
  }

  const StateCopy& from_;
  std::size_t at_ = 0;
};

std::uint64_t digest_of(const std::vector<std::uint64_t>& parts) {
  return quick_digest(std::as_bytes(std::span(parts))) | 1;  // never 0
}

// Every rank's number, by rank.
std::vector<std::uint64_t> of_all(Communicator& comm, std::uint64_t mine) {
  std::vector<std::uint64_t> all(static_cast<std::size_t>(comm.size()));
  all[static_cast<std::size_t>(comm.rank())] = mine;
  comm.sum(all);
  return all;
}

std::string this_host() {
  char name[64] = {};
  gethostname(name, sizeof name - 1);
  return name;
}

}  // namespace

void AgreementOptions::visit(Fields& f) {
  f.field(
      "recovery.check_every", every, {0}, Effect::operational,
      "steps after which the state of all ranks is compared and kept in memory; if memory has changed, all "
      "go back to there; 0: never");
}

std::vector<std::uint64_t> StateCopy::digests() const {
  std::vector<std::uint64_t> all;
  for (const Part& part : parts) all.push_back(quick_digest(part.bytes));
  return all;
}

bool Agreement::check() {
  {
    Copying copy(fresh_);
    visit_(copy);
  }
  const std::vector<std::uint64_t> parts = fresh_.digests();
  const std::uint64_t mine = digest_of(parts);
  const std::vector<std::uint64_t> all = of_all(comm_, mine);
  if (std::ranges::any_of(all, [&](std::uint64_t one) { return one != all[0]; })) {
    name_dissenters(parts);
    return false;
  }
  comm_.commit();  // all keep the same one
  std::swap(agreed_, fresh_);
  digest_ = mine;
  return true;
}

// Rare, so as plain as can be: everybody's digests as text.
void Agreement::name_dissenters(const std::vector<std::uint64_t>& mine) {
  const std::vector<std::string> texts =
      comm_.gather_texts(fmt::format("{} {}", this_host(), fmt::join(mine, " ")));
  std::vector<std::string> hosts(texts.size());
  std::vector<std::vector<std::uint64_t>> all(texts.size());
  std::map<std::vector<std::uint64_t>, int> votes;
  for (std::size_t r = 0; r < texts.size(); ++r) {
    std::istringstream in(texts[r]);
    in >> hosts[r];
    for (std::uint64_t digest; in >> digest;) all[r].push_back(digest);
    ++votes[all[r]];
  }
  const auto most = std::ranges::max_element(votes, {}, [](const auto& vote) { return vote.second; });
  const bool majority = 2 * most->second > comm_.size();
  const std::vector<std::uint64_t>& right = majority ? most->first : all[0];

  dissenters_.clear();
  account_.clear();
  for (std::size_t r = 0; r < all.size(); ++r) {
    std::vector<std::string> wrong;
    for (std::size_t i = 0; i < right.size() && i < all[r].size(); ++i)
      if (all[r][i] != right[i]) wrong.push_back(fresh_.parts[i].name);
    if (wrong.empty() && majority) continue;
    if (majority) dissenters_.push_back(static_cast<int>(r));
    if (wrong.empty()) continue;  // no majority: this one looks like rank 0
    const std::size_t more = wrong.size() - std::min<std::size_t>(wrong.size(), 3);
    wrong.resize(wrong.size() - more);
    account_ += fmt::format("{}rank {} ({}) {} in {}{}", account_.empty() ? "" : "; ", r, hosts[r],
                            majority ? "differs from the majority" : "differs from rank 0",
                            fmt::join(wrong, ", "), more > 0 ? fmt::format(" and {} more", more) : "");
  }
  if (!majority) account_ += ", and no majority can tell who is wrong";
}

void Agreement::go_back() {
  mend_copy();
  const std::vector<std::uint64_t> seats = of_all(comm_, static_cast<std::uint64_t>(comm_.seat()));
  comm_.commit();
  for (const int rank : dissenters_) ++named_[static_cast<int>(seats[static_cast<std::size_t>(rank)])];
  Restoring restore(agreed_);
  visit_(restore);
}

void Agreement::mend_copy() {
  const std::uint64_t mine = digest_of(agreed_.digests());
  const std::vector<std::uint64_t> all = of_all(comm_, mine == digest_ ? mine : 0);
  const auto good = std::ranges::find_if(all, [](std::uint64_t one) { return one != 0; });
  RONDO_CHECK(good != all.end(), "the ranks disagree ({}), and no copy of the agreed state is good any more",
              account_);
  if (std::ranges::all_of(all, [&](std::uint64_t one) { return one == *good; })) return;
  for (StateCopy::Part& part : agreed_.parts)
    comm_.broadcast(part.bytes, static_cast<int>(good - all.begin()));
  digest_ = *good;
}

}  // namespace rondo
