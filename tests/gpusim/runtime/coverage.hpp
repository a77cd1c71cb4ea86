// Which instructions of each kernel ran, merged over devices, processes and runs: one small text file for
// each function in the folder GPUSIM_COVERAGE.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "interp/decode.hpp"

namespace gpusim {

class Coverage {
 public:
  void add(const Program& program);
  void merge_into_folder() const;

 private:
  struct Line {
    bool hit;
    std::string text;  // "PTX line, opcode, source line"
  };
  std::map<std::string, std::vector<Line>> functions_;
};

}  // namespace gpusim
