/// Errors: how anything that goes wrong reaches the user as one readable line.
///
/// Two kinds. `InputError` is something the user can mend (a config, a file, the environment): its text
/// names the place, what was expected and the remedy. Everything else is `Error`, which RONDO_CHECK
/// throws with expression, file, rank and step. Only `main` turns either into a line and an exit code.
#pragma once

#include <fmt/core.h>

#include <cstdint>
#include <stdexcept>
#include <string>

namespace rondo {

/// A condition of ours that does not hold, or a failed system or library call. Exit code 70.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
  virtual int exit_code() const { return 70; }
};

/// Something the user gave us that cannot be used. Exit code 2.
class InputError : public Error {
 public:
  using Error::Error;
  int exit_code() const override { return 2; }
};

/// Where this process stands, for messages. Set once by the command, and by the trainer at each step.
struct ErrorContext {
  int rank = 0;
  std::int64_t step = -1;  ///< -1: not training yet
  bool shared = false;     ///< all ranks have the error that is on its way, so rank 0 will tell of it
};
ErrorContext& error_context();

/// Throws InputError from a format string and its arguments.
template <class... Args>
[[noreturn]] void input_error(fmt::format_string<Args...> format, Args&&... args) {
  throw InputError(fmt::format(format, std::forward<Args>(args)...));
}

[[noreturn]] void check_failed(const char* expression, const char* file, int line, const std::string& why);

}  // namespace rondo

/// RONDO_CHECK(condition, "format", arguments...): throws rondo::Error when the condition is false.
#define RONDO_CHECK(condition, ...)                                                                      \
  do {                                                                                                   \
    if (!(condition)) ::rondo::check_failed(#condition, __FILE__, __LINE__, ::fmt::format(__VA_ARGS__)); \
  } while (false)
