#include "scale_json.hpp"

#include <fstream>

#include "rondo/core/error.hpp"

namespace rondo {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(LinkCost, latency, per_byte, error)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Machine, shared, shared_ranks, message, between_nodes, add_per_byte)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(StepProfile::Bucket, bytes, ready)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(StepProfile, compression, buckets, values, micro_batches, samples,
                                   computed, step, optimizer, spread, error)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ScaleMeasurement, ranks, nodes, machine, profiles, measured_step,
                                   predicted_step)

nlohmann::ordered_json json_of(const ScaleMeasurement& measurement) {
  const nlohmann::json json = measurement;
  return json;
}

ScaleMeasurement read_measurement(const std::string& path) {
  std::ifstream file(path);
  if (!file) input_error("--from {}: cannot be read", path);
  try {
    return nlohmann::json::parse(file).at("measurement").get<ScaleMeasurement>();
  } catch (const nlohmann::json::exception& e) {
    input_error("--from {}: not what `rondo bench scale --json` writes ({})", path, e.what());
  }
}

}  // namespace rondo
