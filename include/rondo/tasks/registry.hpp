/// The tasks there are.
#pragma once

#include "rondo/train/task.hpp"

namespace rondo {

std::unique_ptr<Task> make_task(const std::string& kind);

}  // namespace rondo
