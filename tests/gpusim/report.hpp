// Findings go to stderr as one line each, and are counted: a simulated program that had any must fail.
#pragma once

#include <string>

namespace gpusim {

// `kind` is a fixed phrase ("race in shared memory") that tests look for; the same text is printed once.
// GPUSIM_REPORT names a file to which every line is appended as well.
void report(const std::string& kind, const std::string& text);
unsigned reports();

}  // namespace gpusim
