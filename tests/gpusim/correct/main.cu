// Runs every case, or those whose name is given. The simulator adds its own exit code where it found
// something.
#include <cstring>

#include "harness.cuh"

int failures = 0;
const char* running = "";
std::vector<Case>& cases() {
  static std::vector<Case> list;
  return list;
}

int main(int argc, char** argv) {
  int ran = 0;
  for (const Case& c : cases()) {
    if (argc > 1 && std::strcmp(argv[1], c.name) != 0) continue;
    running = c.name;
    c.run();
    check_cuda(cudaDeviceSynchronize(), "at the end");
    ++ran;
  }
  std::printf("%d cases, %d failures\n", ran, failures);
  return failures || ran == 0;
}
