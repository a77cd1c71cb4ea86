#include "runtime/config.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace gpusim {
namespace {

uint64_t amount(const char* text) {
  char* end = nullptr;
  uint64_t value = std::strtoull(text, &end, 0);
  switch (*end) {
    case 'G':
      value <<= 10;
      [[fallthrough]];
    case 'M':
      value <<= 10;
      [[fallthrough]];
    case 'K':
      value <<= 10;
  }
  return value;
}

Config read() {
  Config c;
  if (const char* v = std::getenv("GPUSIM_DEVICES")) c.devices = std::clamp(std::atoi(v), 0, 64);
  if (const char* v = std::getenv("GPUSIM_MEMORY")) c.memory = amount(v);
  if (const char* v = std::getenv("GPUSIM_SEED")) c.seed = amount(v);
  if (const char* v = std::getenv("GPUSIM_EAGER")) c.eager = *v == '1';
  if (const char* v = std::getenv("GPUSIM_PROTECT")) c.protect = *v != '0';
  if (const char* v = std::getenv("GPUSIM_COMPUTE")) std::sscanf(v, "%d.%d", &c.major, &c.minor);
  if (const char* v = std::getenv("GPUSIM_LIMIT")) c.limit = amount(v);
  if (const char* v = std::getenv("GPUSIM_STATISTICS")) c.statistics = *v == '1';
  if (const char* v = std::getenv("GPUSIM_COVERAGE")) c.coverage = v;
  return c;
}

}  // namespace

const Config& config() {
  static const Config* c = new Config(read());
  return *c;
}

}  // namespace gpusim
