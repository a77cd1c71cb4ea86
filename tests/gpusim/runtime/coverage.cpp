#include "runtime/coverage.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "runtime/config.hpp"

namespace gpusim {

void Coverage::add(const Program& program) {
  for (const auto& [name, code] : program.functions) {
    bool any = false;
    for (size_t k = 0; k + 1 < code.insns.size(); ++k) any |= code.insns[k].hit;
    // Functions of the maths library stand in several images, and need not be alike.
    std::vector<Line>& lines = functions_[name + " " + std::to_string(code.insns.size() - 1)];
    if (!any && !lines.empty()) continue;
    lines.resize(code.insns.size() - 1);
    for (size_t k = 0; k < lines.size(); ++k) {
      const ptx::Statement& s = *code.insns[k].source;
      lines[k].hit |= code.insns[k].hit;
      lines[k].text = std::to_string(s.line) + " " + s.name() + " " + program.module.where(s.location);
    }
  }
}

void Coverage::merge_into_folder() const {
  const std::string& folder = config().coverage;
  if (folder.empty() || functions_.empty()) return;
  std::filesystem::create_directories(folder);
  int lock = open((folder + "/lock").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0666);
  if (lock < 0 || flock(lock, LOCK_EX) != 0) return;
  for (const auto& [name, lines] : functions_) {
    // A file's name may have 255 bytes, a mangled one more.
    std::string file = folder + "/" + name.substr(0, 180) + "." +
                       std::to_string(std::hash<std::string>{}(name) % 100000) + ".cov";
    std::vector<std::string> before;
    std::ifstream in(file);
    std::string line;
    std::getline(in, line);
    while (std::getline(in, line)) before.push_back(line);
    in.close();
    before.resize(lines.size());
    std::ostringstream out;
    out << name << "\n";
    for (size_t k = 0; k < lines.size(); ++k)
      out << (lines[k].hit || before[k] == "1 " + lines[k].text ? "1 " : "0 ") << lines[k].text << "\n";
    std::ofstream(file) << out.str();
  }
  close(lock);
}

}  // namespace gpusim
