/// The hosts of a job, as mpirun's hostfile names them, and which of them still answer.
#pragma once

#include <string>
#include <vector>

namespace rondo {

struct Host {
  std::string name;
  int slots = 1;
};

/// Reads "name slots=N" lines; '#' begins a comment. InputError with file and line for anything else.
std::vector<Host> read_hosts(const std::string& path);
void write_hosts(const std::string& path, const std::vector<Host>& hosts);
int slots_of(const std::vector<Host>& hosts);
/// The hosts on which `mpirun` can start a program within `timeout_s`; all are asked at once. This host is
/// not asked.
std::vector<Host> answering(const std::vector<Host>& hosts, const std::vector<std::string>& mpirun,
                            double timeout_s);

}  // namespace rondo
