// Writes the checkpoint that checkpoint_tools_test.py reads: write_sample_checkpoint <path>
#include <cstdio>
#include <numeric>

#include "rondo/io/checkpoint.hpp"
#include "rondo/io/durable.hpp"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  rondo::Snapshot snapshot;
  rondo::SaveVisitor save(snapshot);
  std::vector<float> weight(12);
  std::iota(weight.begin(), weight.end(), 0.5f);
  save.floats("parameters/dense0.weight", weight, std::vector<std::int64_t>{3, 4});
  std::vector<std::int16_t> exponents{-126, 0, 126};
  save.array("exchange/exponents", rondo::DType::int16, std::as_writable_bytes(std::span(exponents)),
             std::vector<std::int64_t>{3});
  snapshot.scalars = {{"step", std::int64_t{1234}},
                      {"loss", 0.1},
                      {"config", std::string(100'000, 'c')},
                      {"note", "größer"},
                      {"empty", ""}};
  for (int i = 0; i < 20; ++i) snapshot.scalars["many/" + std::to_string(i)] = std::int64_t{i};
  try {
    rondo::write_file_durably(argv[1], rondo::checkpoint_image(snapshot), "sample");
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
