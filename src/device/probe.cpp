#include "probe.hpp"

#include <vector>

#include "rondo/core/digest.hpp"

namespace rondo {

std::string probe(Backend& backend) {
  Digest digest;
  for (const std::int64_t n : {16, 61, 192}) {
    std::vector<float> a(static_cast<std::size_t>(n * n)), b(a.size());
    const RandomStream stream{1, Purpose::test, static_cast<std::uint32_t>(n), 0};
    for (std::size_t i = 0; i < a.size(); ++i)
      a[i] = stream.uniform(i) - 0.5f, b[i] = stream.uniform(i + a.size());
    const std::size_t bytes = a.size() * sizeof(float);
    const auto buffer_a = backend.allocate(bytes), buffer_b = backend.allocate(bytes),
               buffer_c = backend.allocate(bytes), bias = backend.allocate(bytes);
    backend.copy_in(buffer_a->data(), a.data(), bytes);
    backend.copy_in(buffer_b->data(), b.data(), bytes);
    const auto matrix = [n](Buffer& buffer) { return Matrix{static_cast<real*>(buffer.data()), n, n}; };
    const Matrix ma = matrix(*buffer_a), mb = matrix(*buffer_b), mc = matrix(*buffer_c);
    backend.matmul(ma, false, mb, true, mc, false);
    backend.matmul(mb, true, ma, false, mc, true);
    backend.bias_activation(mc, static_cast<const real*>(bias->data()), Activation::gelu, nullptr);
    backend.copy_out(a.data(), mc.data, bytes);
    digest.add(std::as_bytes(std::span(a)));
  }
  return digest.hex();
}

}  // namespace rondo
