// Checkpoint files: what is written is read back bit by bit, damage is always noticed, and neither a full
// disk nor kill -9 costs the checkpoints that were there before.
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "io_testing.hpp"
#include "rondo/core/clock.hpp"
#include "rondo/core/philox.hpp"
#include "rondo/io/checkpoint.hpp"
#include "rondo/io/checkpoint_folder.hpp"
#include "rondo/io/durable.hpp"
#include "rondo/io/hdf5.hpp"

using namespace rondo;
namespace fs = std::filesystem;

namespace {

using Bytes = std::vector<std::byte>;

template <class T>
NamedArray array_of(const std::string& name, DType type, std::vector<std::int64_t> shape, std::size_t count,
                    std::uint64_t seed) {
  const RandomStream random{seed, Purpose::test};
  std::vector<T> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    const PhiloxBlock block = random.block(i);  // any bits, NaN and denormals too
    std::memcpy(&values[i], block.data(), sizeof(T));
  }
  const auto bytes = std::as_bytes(std::span(values));
  return {name, type, std::move(shape), {bytes.begin(), bytes.end()}};
}

Snapshot sample(std::int64_t step, std::int64_t width = 40) {
  const auto seed = static_cast<std::uint64_t>(step);
  const auto count = static_cast<std::size_t>(width);
  Snapshot s;
  s.arrays.push_back(
      array_of<float>("parameters/dense0.weight", DType::float32, {10, width}, 10 * count, seed));
  s.arrays.push_back(array_of<float>("parameters/dense0.bias", DType::float32, {width}, count, seed + 1));
  s.arrays.push_back(array_of<double>("optimizer/adam/second", DType::float64, {2, 3, 4}, 24, seed + 2));
  s.arrays.push_back(array_of<std::int16_t>("exchange/exponents", DType::int16, {7}, 7, seed + 3));
  s.arrays.push_back(array_of<std::int32_t>("exchange/sum", DType::int32, {5}, 5, seed + 4));
  s.arrays.push_back(array_of<std::int64_t>("counts", DType::int64, {}, 1, seed + 5));
  s.arrays.push_back(array_of<std::uint32_t>("empty", DType::uint32, {0, 3}, 0, seed + 6));
  s.scalars = {
      {"step", step}, {"loss", -0.0},  {"config", std::string(70'000, 'x')}, {"text/nested", "größer\n"},
      {"empty", ""},  {"tiny", 5e-324}};
  for (int i = 0; i < 12; ++i) s.scalars["many" + std::to_string(i)] = std::int64_t{i} - 6;
  return s;
}

bool same(Snapshot a, Snapshot b) {
  const auto by_name = [](const NamedArray& x, const NamedArray& y) { return x.name < y.name; };
  std::ranges::sort(a.arrays, by_name);
  std::ranges::sort(b.arrays, by_name);
  const auto equal = [](const NamedArray& x, const NamedArray& y) {
    return x.name == y.name && x.type == y.type && x.shape == y.shape && x.bytes == y.bytes;
  };
  return a.scalars == b.scalars && std::ranges::equal(a.arrays, b.arrays, equal);
}

void write_plainly(const std::string& path, std::span<const std::byte> bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  REQUIRE(out.good());
}

/// The message of the InputError that reading gives, or "" if it succeeds. One line with the path, always.
std::string why_unreadable(const std::string& path) {
  try {
    read_checkpoint(path);
    return "";
  } catch (const InputError& e) {
    const std::string text = e.what();
    REQUIRE(text.find('\n') == std::string::npos);
    REQUIRE(text.find(path) == 0);
    return text;
  }
}

std::size_t temporaries_in(const std::string& folder) {
  std::size_t count = 0;
  for (const auto& entry : fs::directory_iterator(folder))
    count += contains(entry.path().filename().string(), ".tmp-") ? 1 : 0;
  return count;
}

/// Runs `work` in a child and returns its exit status, or -signal.
template <class Work>
int in_child(Work work) {
  const pid_t pid = fork();
  if (pid == 0) {
    int rc = 99;
    try {
      rc = work();
    } catch (const std::exception& e) {
      std::fprintf(stderr, "%s\n", e.what());
    }
    _exit(rc);
  }
  int status = 0;
  REQUIRE(waitpid(pid, &status, 0) == pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace

TEST_CASE("a checkpoint reads back bit by bit") {
  const TemporaryFolder folder;
  const Snapshot original = sample(1234);
  const Bytes image = checkpoint_image(original);
  write_file_durably(folder / "a.h5", image, "test");
  CHECK(same(read_checkpoint(folder / "a.h5"), original));
  CHECK(temporaries_in(folder.path) == 0);

  write_file_durably(folder / "b.h5", checkpoint_image({}), "test");
  CHECK(same(read_checkpoint(folder / "b.h5"), {}));

  usleep(1'100'000);  // the file must not depend on the second in which it was written
  CHECK(checkpoint_image(original) == image);
}

TEST_CASE("a checkpoint that cannot be used says why") {
  const TemporaryFolder folder;
  const std::string path = folder / "step-00000001.h5";
  const Snapshot original = sample(1);
  Bytes image = checkpoint_image(original);

  CHECK(contains(why_unreadable(path), "No such file"));
  CHECK(contains(why_unreadable(folder.path), "not a regular file"));
  write_plainly(path, Bytes(5000, std::byte{'a'}));
  CHECK(contains(why_unreadable(path), "not a Rondo checkpoint"));
  write_plainly(path, {});
  CHECK(contains(why_unreadable(path), "is empty"));
  write_plainly(path, std::span(image).first(image.size() - 1));
  CHECK(contains(why_unreadable(path), "is truncated"));
  {
    const auto lock = hdf5_lock();
    const H5Handle other(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), "create");
  }
  CHECK(contains(why_unreadable(path), "is an HDF5 file but was not written as a Rondo checkpoint"));
  Bytes other = image;
  other[std::strlen("rondo-checkpoint ")] = std::byte{'7'};
  write_plainly(path, other);
  CHECK(contains(why_unreadable(path), "has checkpoint version 7, but this program reads version 1"));
  other = image;
  other[1000] ^= std::byte{1};
  write_plainly(path, other);
  CHECK(contains(why_unreadable(path), "checksum of its structure does not match, the file is damaged"));

  const Bytes& weight = original.arrays[0].bytes;
  const auto at = std::search(image.begin(), image.end(), weight.begin(), weight.end());
  REQUIRE(at != image.end());
  at[100] ^= std::byte{0x10};
  write_plainly(path, image);
  CHECK(contains(
      why_unreadable(path),
      "dataset parameters/dense0.weight: checksum does not match, the file is damaged; use an earlier"));
}

TEST_CASE("every byte of a checkpoint is covered by a checksum") {
  Snapshot snapshot = sample(3);
  std::size_t data = 0;
  for (const NamedArray& array : snapshot.arrays) data += array.bytes.size();
  for (const auto& [name, value] : snapshot.scalars)
    if (const auto* text = std::get_if<std::string>(&value)) data += std::max<std::size_t>(1, text->size());
  const Bytes image = checkpoint_image(snapshot);
  const std::string seal(reinterpret_cast<const char*>(image.data()), 512);
  std::size_t bytes = 0, structure = 0;
  REQUIRE(std::sscanf(seal.c_str(), "rondo-checkpoint 1\nbytes %zu\nstructure %zu\n", &bytes, &structure) ==
          2);
  CHECK(bytes == image.size());
  CHECK(structure + data == image.size());  // HDF5 put nothing of its own behind the sealed part
}

TEST_CASE("no damage crashes the reader or goes unnoticed") {
  const TemporaryFolder folder;
  const std::string path = folder / "step-00000002.h5";
  Snapshot original = sample(2, 4);
  original.scalars["config"] = std::string(200, 'x');  // mostly structure, little data
  Bytes image = checkpoint_image(original);
  const RandomStream random{2026, Purpose::test};
  for (std::uint64_t i = 0; i < 800; ++i) {
    const PhiloxBlock bits = random.block(i);
    std::byte& victim = image[bits[0] % image.size()];
    const std::byte before = victim;
    victim ^= static_cast<std::byte>(1 + bits[1] % 255);
    write_plainly(path, image);
    REQUIRE(!why_unreadable(path).empty());
    victim = before;
  }
  write_plainly(path, image);
  CHECK(same(read_checkpoint(path), original));
  for (std::uint64_t i = 0; i < 300; ++i) {
    write_plainly(path, std::span(image).first(random.word(10'000 + i) % image.size()));
    REQUIRE(!why_unreadable(path).empty());
  }
}

TEST_CASE("a folder finds its newest good checkpoint") {
  const TemporaryFolder base;
  const CheckpointFolder folder(base / "runs/checkpoints");
  std::vector<std::string> log;
  const auto note = [&](const std::string& line) { log.push_back(line); };
  CHECK(folder.list().empty());
  CHECK(!folder.newest_good(note));

  folder.open_for_writing();
  for (std::int64_t step : {10, 20, 30, 123456789})
    folder.write(step, checkpoint_image(sample(step)), "test");
  folder.set_best(10, checkpoint_image(sample(10)), "test");
  folder.set_best(10, checkpoint_image(sample(10)), "test");
  CHECK(temporaries_in(folder.path()) == 0);
  CHECK(folder.list() == std::vector<std::int64_t>{10, 20, 30, 123456789});
  CHECK(fs::exists(folder.path() + "/step-00000010.h5"));

  write_plainly(folder.path_of(123456789), Bytes(100));
  write_plainly(folder.path_of(30), {});
  const auto found = folder.newest_good(note);
  REQUIRE(found.has_value());
  CHECK(found->path == folder.path_of(20));
  CHECK(same(found->snapshot, sample(20)));
  CHECK(log.size() == 2);

  folder.prune(1, 20);  // the highest is damaged: the one known to be good stays as well
  CHECK(folder.list() == std::vector<std::int64_t>{20, 123456789});
  fs::remove(folder.path_of(20));
  const auto best = folder.newest_good(note);  // pruned, but still there as the best
  REQUIRE(best.has_value());
  CHECK(best->path == folder.best_path());
  CHECK(same(best->snapshot, sample(10)));
}

TEST_CASE("what earlier writers left half-written is swept away, and nothing else") {
  const TemporaryFolder base;
  const CheckpointFolder folder(base.path);
  const std::string stale = base / ".step-00000001.h5.tmp-123-0", other = base / "notes.tmp-1-0";
  for (const std::string& path : {stale, other}) write_plainly(path, Bytes(1));
  folder.open_for_writing();
  CHECK(!fs::exists(stale));
  CHECK(fs::exists(other));
}

TEST_CASE("the background writer keeps the last ones and the best") {
  const TemporaryFolder base;
  const CheckpointFolder folder(base.path);
  {
    BackgroundWriter writer(folder, 2, "0");
    for (std::int64_t step = 1; step <= 5; ++step) writer.submit(step, sample(step), step == 2);
    writer.wait();
    CHECK(folder.list() == std::vector<std::int64_t>{4, 5});
    CHECK(writer.take_error().empty());
    writer.submit(6, sample(6), false);
  }  // the destructor finishes the write
  CHECK(same(read_checkpoint(folder.path_of(6)), sample(6)));
  CHECK(same(read_checkpoint(folder.best_path()), sample(2)));
}

TEST_CASE("waiting for a writer that is stuck has an end") {
  const TemporaryFolder base;
  BackgroundWriter writer(CheckpointFolder(base.path), 1, "0", 0.1);
  auto stuck = hdf5_lock();
  writer.submit(1, sample(1), false);
  CHECK_THROWS_AS(writer.submit(2, sample(2), false), Error);
  stuck.unlock();
  const double start = now_s();
  while (CheckpointFolder(base.path).list().empty() && now_s() < start + 30) usleep(1000);
  CHECK(CheckpointFolder(base.path).list().size() == 1);
}

namespace {

/// Small, too large, small again on a disk with room for the small ones. Exit status 0 if all is right.
int survive_full_disk(const std::string& path) {
  const CheckpointFolder folder(path);
  BackgroundWriter writer(folder, 5, "0");
  writer.submit(1, sample(1), true);
  writer.wait();
  if (!writer.take_error().empty()) return 1;
  writer.submit(2, sample(2, 100'000), true);
  writer.wait();
  const std::string error = writer.take_error();
  if (!contains(error, folder.path_of(2)) || !contains(error, "bytes") || !contains(error, "free space"))
    return 2;
  if (folder.list() != std::vector<std::int64_t>{1} || temporaries_in(path) != 0) return 3;
  writer.submit(3, sample(3), false);
  writer.wait();
  if (!writer.take_error().empty()) return 4;
  if (!same(read_checkpoint(folder.path_of(3)), sample(3))) return 5;
  return same(read_checkpoint(folder.best_path()), sample(1)) ? 0 : 6;
}

}  // namespace

TEST_CASE("a write that the system cuts short costs nothing but itself") {
  const TemporaryFolder base;
  CHECK(in_child([&] {
          signal(SIGXFSZ, SIG_IGN);
          const rlimit limit{1 << 20, 1 << 20};
          setrlimit(RLIMIT_FSIZE, &limit);
          return survive_full_disk(base.path);
        }) == 0);
}

TEST_CASE("a full disk costs nothing but the write that did not fit") {
  const TemporaryFolder base;
  constexpr int unable = 77;
  const int rc = in_child([&] {
    if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWNS | CLONE_NEWUSER) != 0) return unable;
    mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
    if (mount("tmpfs", base.path.c_str(), "tmpfs", 0, "size=1m") != 0) return unable;
    return survive_full_disk(base.path);
  });
  if (rc == unable) WARN("skipped: a tmpfs cannot be mounted here");
  CHECK((rc == 0 || rc == unable));
}

TEST_CASE("kill -9 at any moment leaves a good newest checkpoint") {
  const TemporaryFolder base;
  const CheckpointFolder folder(base.path);
  const RandomStream random{9, Purpose::test};
  std::int64_t last = 0;
  const Deadline patience(60);  // a slow machine gets more rounds
  for (std::uint64_t round = 0; round < 30 || (last <= 10 && !patience.passed()); ++round) {
    const pid_t pid = fork();
    if (pid == 0) {
      folder.open_for_writing();
      BackgroundWriter writer(folder, 2, "0");
      for (std::int64_t step = last + 1;; ++step) writer.submit(step, sample(step), step % 3 == 0);
    }
    usleep(1000 + random.word(round) % 40'000);
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    std::vector<std::string> bad;
    const auto found = folder.newest_good([&](const std::string& line) { bad.push_back(line); });
    REQUIRE(bad.empty());
    if (!found) {
      REQUIRE(last == 0);  // killed before its first checkpoint was complete
      continue;
    }
    const std::int64_t step = found->snapshot.integer("step");
    REQUIRE(step >= last);
    REQUIRE(found->path == folder.path_of(step));
    REQUIRE(same(found->snapshot, sample(step)));
    if (fs::exists(folder.best_path())) REQUIRE(read_checkpoint(folder.best_path()).integer("step") % 3 == 0);
    last = step;
  }
  CHECK(last > 10);
  folder.open_for_writing();
  CHECK(temporaries_in(base.path) == 0);
}
