#include "rondo/tasks/registry.hpp"

#include "energy/energy.hpp"
#include "rondo/core/error.hpp"
#include "synthetic/synthetic.hpp"

namespace rondo {

std::unique_ptr<Task> make_task(const std::string& kind) {
  if (kind == "energy") return make_energy_task();
  if (kind == "synthetic") return make_synthetic_task();
  input_error("task.kind = \"{}\": there is no such task; expected energy or synthetic", kind);
}

}  // namespace rondo
