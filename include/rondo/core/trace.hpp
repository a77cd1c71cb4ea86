/// Spans of time in training steps, for those who look at where it goes: `rondo bench step`.
#pragma once

#include <cstdint>
#include <vector>

namespace rondo {

enum class SpanKind : std::uint32_t {
  step,      ///< id: number of the step
  data,      ///< waiting for the loader
  forward,   ///< id: micro-batch
  backward,  ///< id: micro-batch; holds what the exchange does meanwhile
  exchange,  ///< within backward: conversion, starting and driving reductions
  bucket,    ///< in flight, from this rank's start until all ranks have the sum; id: the how manieth of all
  wait,      ///< nothing left to compute, sums not there yet
  control,   ///< the control word
  optimizer,
  share,  ///< gathering weights that other ranks updated
};

struct Span {
  SpanKind kind;
  std::uint32_t bytes;  ///< of a bucket
  std::int64_t id;
  double begin_s, end_s;  ///< now_s()
};

/// Where this process's training thread notes its spans; null: nowhere.
std::vector<Span>*& trace();

inline void note_span(SpanKind kind, std::int64_t id, double begin_s, double end_s, std::uint32_t bytes = 0) {
  if (std::vector<Span>* spans = trace(); spans != nullptr)
    spans->push_back({kind, bytes, id, begin_s, end_s});
}

}  // namespace rondo
