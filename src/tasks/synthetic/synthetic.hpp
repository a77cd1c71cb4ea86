// Synthetic: numbers made up on the spot, to measure steps without any data to fetch.
#pragma once

#include <memory>

#include "rondo/train/task.hpp"

namespace rondo {

std::unique_ptr<Task> make_synthetic_task();

}  // namespace rondo
