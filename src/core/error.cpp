#include "rondo/core/error.hpp"

#include <cstring>

namespace rondo {

ErrorContext& error_context() {
  static ErrorContext context;
  return context;
}

void check_failed(const char* expression, const char* file, int line, const std::string& why) {
  const char* slash = std::strrchr(file, '/');
  const ErrorContext& at = error_context();
  const std::string step = at.step < 0 ? "" : fmt::format(", step {}", at.step);
  throw Error(fmt::format("{} (check `{}` failed at {}:{}, rank {}{})", why, expression,
                          slash != nullptr ? slash + 1 : file, line, at.rank, step));
}

}  // namespace rondo
