// What the benches share.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "commands.hpp"

namespace rondo {

Command add_bench_comm(CLI::App& bench);
Command add_bench_compression(CLI::App& bench);
Command add_bench_kernels(CLI::App& bench);
Command add_bench_scale(CLI::App& bench);
Command add_bench_survive(CLI::App& bench);

/// Bytes of "65536", "64K", "16M" or "1G", at least 4; InputError names the option.
std::size_t bytes_of(const char* option, const std::string& text);

/// The p-quantile of values (0.5: median), without interpolation.
double percentile(std::vector<double> values, double p);
/// Writes a JSON file unless `path` is empty.
void write_json(const std::string& path, const nlohmann::ordered_json& content);

}  // namespace rondo
