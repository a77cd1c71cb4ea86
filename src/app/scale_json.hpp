// A measurement of `rondo bench scale` as JSON and back.
#pragma once

#include <nlohmann/json.hpp>

#include "rondo/train/scale_measure.hpp"

namespace rondo {

nlohmann::ordered_json json_of(const ScaleMeasurement& measurement);
/// From the JSON file that `--json` wrote; InputError names the file.
ScaleMeasurement read_measurement(const std::string& path);

}  // namespace rondo
