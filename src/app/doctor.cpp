#include "doctor.hpp"

#include <fmt/ranges.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <thread>

#include "commands.hpp"
#include "rondo/core/clock.hpp"
#include "rondo/core/error.hpp"
#include "rondo/core/version.hpp"
#include "rondo/device/backend.hpp"
#include "rondo/io/hdf5.hpp"
#include "rondo/train/session.hpp"

namespace rondo {
namespace {

int problems = 0;

}  // namespace

void doctor::line(const std::string& name, const std::string& text) { fmt::print("{:<16} {}\n", name, text); }
void doctor::note(const std::string& text) { line("", "note: " + text); }
void doctor::wrong(const std::string& text) {
  ++problems;
  line("", "WRONG: " + text);
}

namespace {

using namespace doctor;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

void report_ranks(Communicator& comm, const std::vector<std::string>& hosts) {
  std::vector<std::string> distinct = hosts;
  std::ranges::sort(distinct);
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  line("ranks", fmt::format("{} on {} host(s): {}", comm.size(), distinct.size(), fmt::join(distinct, ", ")));
  const auto cores = static_cast<int>(std::thread::hardware_concurrency());
  line("cores", fmt::format("{} usable here, {} rank(s) on this host", cores, comm.local_size()));
  if (comm.local_size() > cores)
    wrong("more ranks than cores on this host: it works, but slower than one rank a core; lower mpirun -n");
}

void report_shared_memory(const Communicator& comm) {
  struct statvfs shm {};
  if (statvfs("/dev/shm", &shm) != 0) return wrong("/dev/shm is missing: set exchange.algorithm = \"ring\"");
  const double free_mib = static_cast<double>(shm.f_bavail) * static_cast<double>(shm.f_frsize) / (1 << 20);
  line("shared memory",
       fmt::format("{:.0f} MiB free in /dev/shm; a model of n parameters takes {} x 8 n bytes", free_mib,
                   comm.local_size()));
  if (free_mib < 64) wrong("less than 64 MiB: enlarge /dev/shm (docker run --shm-size) or use the ring");
}

void report_message(Communicator& comm) {
  if (comm.size() < 2) return line("message", "start it with mpirun -n 2 to try one between ranks");
  std::vector<double> times;
  for (int i = 0; i < 100; ++i) {
    const double begin = now_s();
    std::uint64_t one[1] = {1};
    comm.sum(one);
    RONDO_CHECK(one[0] == static_cast<std::uint64_t>(comm.size()), "ranks summed 1 to {}", one[0]);
    times.push_back(now_s() - begin);
  }
  std::ranges::sort(times);
  if (comm.rank() == 0)
    line("message", fmt::format("all {} ranks answer; an 8-byte all-reduce takes {:.1f} us", comm.size(),
                                times[50] * 1e6));
}

int examine() {
  Communicator& comm = world();
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  const std::vector<std::string> hosts = comm.gather_texts(name);
  DeviceOptions device;
  std::unique_ptr<Backend> backend;
  std::string no_device;
  try {
    together(comm, [&] { backend = make_backend(device, comm.local_rank(), comm.local_size()); });
  } catch (const InputError& e) {  // say so below, and look at the rest all the same
    no_device = e.what();
    device.kind = "cpu";
    backend = make_backend(device);
  }
  const std::vector<std::string> numerics = comm.gather_texts(backend->numerics());
  if (comm.rank() == 0) {
    unsigned major = 0, minor = 0, release = 0;
    H5get_libversion(&major, &minor, &release);
    line("rondo", version() + " (" + build_info() + ")");
    line("MPI", mpi_version());
    if (comm.recovers())
      line("recovery", "in the job: active");
    else
      line("recovery", mpi_has_ulfm() ? "in the job: start with mpirun --with-ft ulfm"
                                      : "by restart: this MPI has no fault tolerance (Open MPI 5 has)");
    report_ranks(comm, hosts);
    line("instruction set", simd().name + std::string(" for our loops; oneDNN: see numerics"));
    line("numerics", numerics[0]);
    for (std::size_t r = 1; r < numerics.size(); ++r)
      if (numerics[r] != numerics[0]) wrong(fmt::format("rank {} differs: {}", r, numerics[r]));
    line("HDF5", fmt::format("{}.{}.{}", major, minor, release));
    const std::string cuda = why_not("cuda");
    line("devices", cuda.empty() ? "cpu, cuda" : "cpu (no cuda: " + cuda + ")");
    report_gpus(comm.local_size());
    if (!no_device.empty()) wrong(no_device);
    report_shared_memory(comm);
    for (const char* variable : {"OMP_THREAD_LIMIT", "OMP_DYNAMIC", "ONEDNN_MAX_CPU_ISA"})
      if (const std::string value = environment(variable); !value.empty())
        line("environment", fmt::format("{} = {}", variable, value));
  }
  report_message(comm);
  if (comm.rank() == 0) fmt::print("{}\n", problems == 0 ? "All is well." : "Mend what is marked WRONG.");
  return problems == 0 ? 0 : 1;
}

}  // namespace

Command add_doctor(CLI::App& app) {
  CLI::App* sub = app.add_subcommand("doctor", "Check what this machine and these ranks can do");
  sub->footer("Example: mpirun -n 2 rondo doctor");
  return {sub, examine};
}

}  // namespace rondo
