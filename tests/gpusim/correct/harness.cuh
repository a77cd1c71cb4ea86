// A case is a function that launches kernels and compares with the host; `check` counts what is off.
#pragma once

#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <random>
#include <string>
#include <vector>

struct Case {
  const char* name;
  void (*run)();
};
std::vector<Case>& cases();
extern int failures;
extern const char* running;

#define GPU_CASE(name)                                                         \
  static void name();                                                          \
  static const bool name##_entered = (cases().push_back({#name, name}), true); \
  static void name()

inline void check(bool ok, const char* what, double got = 0, double want = 0) {
  if (ok) return;
  ++failures;
  std::printf("%s: %s: got %.9g, expected %.9g\n", running, what, got, want);
}
inline void check_near(double got, double want, double tolerance, const char* what) {
  check(std::fabs(got - want) <= tolerance * std::max(1.0, std::fabs(want)), what, got, want);
}
inline void check_cuda(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  ++failures;
  std::printf("%s: %s: %s\n", running, what, cudaGetErrorString(error));
}

// A device array with a copy on the host.
template <class T>
struct Array {
  std::vector<T> host;
  T* device = nullptr;

  explicit Array(size_t n) : host(n) { check_cuda(cudaMalloc(&device, n * sizeof(T)), "cudaMalloc"); }
  explicit Array(std::vector<T> values) : Array(values.size()) {
    host = std::move(values);
    up();
  }
  ~Array() { cudaFree(device); }
  Array(const Array&) = delete;
  void up() {
    check_cuda(cudaMemcpy(device, host.data(), host.size() * sizeof(T), cudaMemcpyHostToDevice), "copy up");
  }
  const std::vector<T>& down() {
    check_cuda(cudaMemcpy(host.data(), device, host.size() * sizeof(T), cudaMemcpyDeviceToHost), "copy down");
    return host;
  }
  size_t size() const { return host.size(); }
  operator T*() const { return device; }
};

inline std::vector<float> noise(size_t n, unsigned seed, float low = -1, float high = 1) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> in(low, high);
  std::vector<float> v(n);
  for (float& x : v) x = in(random);
  return v;
}

inline unsigned blocks(size_t n, unsigned threads) {
  return static_cast<unsigned>((n + threads - 1) / threads);
}
