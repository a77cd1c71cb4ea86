// The dataset of one split: windows of a series at regular origins.
#pragma once

#include "features.hpp"

namespace rondo::energy {

class Windows : public Dataset {
 public:
  /// Origins first, first + every, ... such that all horizons end by `end`.
  Windows(const Options& options, const Features& features, std::int64_t inputs, std::int64_t first,
          std::int64_t end, std::int64_t every)
      : options_(options), features_(features), inputs_(inputs), first_(first), every_(every) {
    const std::int64_t last = end - options.horizon;
    size_ = last < first ? 0 : (last - first) / every + 1;
  }
  std::int64_t size() const override { return size_; }
  std::int64_t inputs() const override { return inputs_; }
  std::int64_t targets() const override { return options_.horizon; }
  std::int64_t origin(std::int64_t i) const { return first_ + i * every_; }
  void get(std::int64_t i, std::span<float> input, std::span<float> target,
           std::span<float> weight) const override {
    features_.target(origin(i), features_.input(origin(i), input), target, weight);
  }

 private:
  const Options& options_;
  const Features& features_;
  std::int64_t inputs_, first_, every_, size_ = 0;
};

}  // namespace rondo::energy
