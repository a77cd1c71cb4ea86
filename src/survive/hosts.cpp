#include "rondo/survive/hosts.hpp"

#include <fcntl.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <numeric>
#include <sstream>
#include <thread>

#include "rondo/core/clock.hpp"
#include "rondo/core/error.hpp"
#include "rondo/io/durable.hpp"
#include "rondo/io/printable.hpp"

namespace rondo {
namespace {

bool same_address(const sockaddr& a, const sockaddr& b) {
  if (a.sa_family != b.sa_family) return false;
  if (a.sa_family == AF_INET)
    return reinterpret_cast<const sockaddr_in&>(a).sin_addr.s_addr ==
           reinterpret_cast<const sockaddr_in&>(b).sin_addr.s_addr;
  return a.sa_family == AF_INET6 && IN6_ARE_ADDR_EQUAL(&reinterpret_cast<const sockaddr_in6&>(a).sin6_addr,
                                                       &reinterpret_cast<const sockaddr_in6&>(b).sin6_addr);
}

// Its name, or an address of its own: mpirun 5 finds no slots when it is asked for that.
bool is_here(const std::string& name) {
  char own[256] = "";
  gethostname(own, sizeof own - 1);
  if (name == own) return true;
  addrinfo* meant = nullptr;
  ifaddrs* have = nullptr;
  if (getaddrinfo(name.c_str(), nullptr, nullptr, &meant) != 0) return false;
  bool found = false;
  if (getifaddrs(&have) == 0) {
    for (const addrinfo* a = meant; a != nullptr; a = a->ai_next)
      for (const ifaddrs* i = have; i != nullptr; i = i->ifa_next)
        found = found || (i->ifa_addr != nullptr && same_address(*a->ai_addr, *i->ifa_addr));
    freeifaddrs(have);
  }
  freeaddrinfo(meant);
  return found;
}

// Not by `true`: mpirun 5.0.7 may hang when what it starts elsewhere has ended at once.
pid_t ask(const std::string& host, std::vector<std::string> mpirun) {
  for (const char* word : {"--host", host.c_str(), "-n", "1", "sleep", "0.2"}) mpirun.emplace_back(word);
  std::vector<char*> arguments;
  for (std::string& word : mpirun) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const pid_t child = fork();
  if (child != 0) return child;
  setsid();
  const int nothing = open("/dev/null", O_RDWR);
  for (const int fd : {0, 1, 2}) dup2(nothing, fd);
  execvp(arguments[0], arguments.data());
  _exit(127);
}

}  // namespace

std::vector<Host> read_hosts(const std::string& path) {
  std::ifstream in(path);
  if (!in) input_error("--hosts {}: cannot be opened; expected lines such as \"node1 slots=4\"", path);
  std::vector<Host> hosts;
  int number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    std::istringstream words(line.substr(0, line.find('#')));
    Host host;
    std::string rest;
    if (!(words >> host.name)) continue;
    if (words >> rest) {
      std::istringstream slots(rest.starts_with("slots=") ? rest.substr(6) : "");
      if (!(slots >> host.slots) || !slots.eof() || host.slots < 1 || words >> rest)
        input_error("{}:{}: \"{}\": expected a host's name and slots=N, such as \"node1 slots=4\"", path,
                    number, printable(line));
    }
    hosts.push_back(host);
  }
  if (hosts.empty()) input_error("{}: names no host; expected lines such as \"node1 slots=4\"", path);
  return hosts;
}

void write_hosts(const std::string& path, const std::vector<Host>& hosts) {
  std::string text;
  for (const Host& host : hosts) text += fmt::format("{} slots={}\n", host.name, host.slots);
  write_file_durably(path, std::as_bytes(std::span(text)), "hosts");
}

int slots_of(const std::vector<Host>& hosts) {
  return std::accumulate(hosts.begin(), hosts.end(), 0, [](int sum, const Host& h) { return sum + h.slots; });
}

std::vector<Host> answering(const std::vector<Host>& hosts, const std::vector<std::string>& mpirun,
                            double timeout_s) {
  std::vector<pid_t> asked;
  for (const Host& host : hosts) asked.push_back(is_here(host.name) ? 0 : ask(host.name, mpirun));
  std::vector<Host> found;
  const Deadline deadline(timeout_s);
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    int status = 0;
    while (asked[i] > 0 && waitpid(asked[i], &status, WNOHANG) == 0) {
      if (deadline.passed()) kill(-asked[i], SIGKILL);
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    if (asked[i] == 0 || (asked[i] > 0 && status == 0)) found.push_back(hosts[i]);
  }
  return found;
}

}  // namespace rondo
