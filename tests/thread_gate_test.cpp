// Matrix products with the number of threads that the configuration says, whatever the environment says.
// CMake runs the hidden cases in environments that work against them.
#include <omp.h>

#include <cfloat>
#include <thread>

#include "catch.hpp"
#include "parity_bench.hpp"
#include "rondo/core/error.hpp"

using namespace rondo;
using namespace rondo::parity;

namespace {

/// Is every element of a large product written and right?
bool product_is_right(Backend& backend) {
  constexpr std::int64_t n = 192;
  const Floats a = draw(n * n, 1), b = draw(n * n, 2);
  Bench bench(backend);
  const Matrix c = bench.empty(n, n);
  backend.matmul(bench.in(a, n, n), false, bench.in(b, n, n), false, c, false);
  Doubles ra = wide(a), rb = wide(b), rc = zeros(n * n);
  reference::matmul(mat(ra, n, n), false, mat(rb, n, n), false, mat(rc, n, n), false);
  return error(bench.out(c), rc) < 1e-5;
}

std::unique_ptr<Backend> cpu(std::int64_t threads) {
  DeviceOptions options{"cpu", threads};
  return make_backend(options);
}

}  // namespace

TEST_CASE("products are right when somebody changes OpenMP's threads between them, and in other threads") {
  const auto backend = cpu(2);
  CHECK(product_is_right(*backend));
  omp_set_dynamic(1);
  omp_set_num_threads(1);
  CHECK(product_is_right(*backend));
  CHECK(omp_get_dynamic() == 0);
  CHECK(omp_get_max_threads() == 2);
  bool right = false;
  int threads = 0;
  std::thread other([&] {
    right = product_is_right(*backend);
    threads = omp_get_max_threads();
  });
  other.join();
  CHECK(right);
  CHECK(threads == 2);
}

#if defined(__SSE__)
#include <xmmintrin.h>

TEST_CASE("products keep subnormal numbers even if somebody made the processor flush them") {
  const auto backend = cpu(1);
  _mm_setcsr(_mm_getcsr() | 0x8040);  // flush to zero, denormals are zero
  Bench bench(*backend);
  const Matrix c = bench.empty(1, 1);
  backend->matmul(bench.in({FLT_MIN}, 1, 1), false, bench.in({0.25f}, 1, 1), false, c, false);
  CHECK((_mm_getcsr() & 0x8040) == 0);
  CHECK(bench.out(c)[0] == FLT_MIN / 4);
}
#endif

TEST_CASE("OMP_DYNAMIC does not take threads away", "[.dynamic]") {
  REQUIRE(omp_get_dynamic() != 0);  // the environment is the one meant
  CHECK(product_is_right(*cpu(2)));
}

TEST_CASE("OMP_THREAD_LIMIT below device.threads is refused in words", "[.limit]") {
  CHECK(product_is_right(*cpu(1)));
  try {
    cpu(2);
    CHECK(false);
  } catch (const InputError& e) {
    const std::string text = e.what();
    CHECK(text.find("device.threads = 2") != std::string::npos);
    CHECK(text.find("OMP_THREAD_LIMIT = 1") != std::string::npos);
    CHECK(text.find('\n') == std::string::npos);
  }
}
