#include "matmul.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <oneapi/dnnl/dnnl.hpp>
#include <tuple>
#include <utility>
#include <vector>

#include "rondo/core/error.hpp"
#include "thread_gate.hpp"

namespace rondo {
namespace {

using dnnl::memory;

constexpr double kPanel = 1.5e8;         // operations: about a millisecond of a core
constexpr std::int64_t kPanelSide = 64;  // rows or columns of a panel are a multiple of that
constexpr std::int64_t kCrowded = 256;  // floats: rows so far apart, or a multiple, share few sets of a cache
constexpr std::int64_t kLine = 16;      // floats of a cache line

// Of `side` rows or columns with so many operations each.
std::int64_t panel_of(std::int64_t side, double operations) {
  const auto panels = static_cast<std::int64_t>(static_cast<double>(side) * operations / kPanel);
  if (panels < 2) return side;
  return ((side + panels - 1) / panels + kPanelSide - 1) / kPanelSide * kPanelSide;
}

// A matrix, or some rows or columns of one, transposed or not.
struct View {
  const void* data;
  std::int64_t rows, cols, row_step, col_step;
  Precision precision;

  View(const Operand& m, bool transpose)
      : data(m.data), rows(m.rows), cols(m.cols), row_step(m.cols), col_step(1), precision(m.precision) {
    if (transpose) std::swap(rows, cols), std::swap(row_step, col_step);
  }
  View rows_from(std::int64_t first, std::int64_t count) const {
    View part = from(first * row_step);
    part.rows = count;
    return part;
  }
  View cols_from(std::int64_t first, std::int64_t count) const {
    View part = from(first * col_step);
    part.cols = count;
    return part;
  }
  memory::desc desc() const {
    const auto type = precision == Precision::bfloat16 ? memory::data_type::bf16 : memory::data_type::f32;
    return {{rows, cols}, type, memory::dims{row_step, col_step}};
  }

 private:
  View from(std::int64_t elements) const {
    const std::int64_t size = precision == Precision::bfloat16 ? 2 : 4;
    View part = *this;
    part.data = static_cast<const std::byte*>(data) + elements * size;
    return part;
  }
};

dnnl::matmul::primitive_desc plan(const dnnl::engine& engine, const memory::desc& a, const memory::desc& b,
                                  const memory::desc& c, bool accumulate) {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (accumulate) {
    dnnl::post_ops sum;
    sum.append_sum(1.0f);
    attributes.set_post_ops(sum);
  }
#if DNNL_VERSION_MAJOR >= 3
  return {engine, a, b, c, attributes};
#else
  return {dnnl::matmul::desc(a, b, c), attributes, engine};
#endif
}

}  // namespace

struct MatmulEngine::Impl {
  struct Product {
    memory::desc a, b, c, scratch;
    dnnl::matmul primitive;
  };
  int threads;
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  std::vector<std::byte> scratch;
  std::vector<float> spread_left, spread_right;
  const bool avx2 = dnnl_isa_text().starts_with("avx2");
  using Steps = std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t>;
  using Key = std::tuple<std::int64_t, std::int64_t, std::int64_t, Steps, bool, Precision>;
  std::map<Key, Product> products;  // a training step has a dozen shapes: all are planned once

  Product& product(const View& a, const View& b, const View& c, bool accumulate) {
    const Key key{c.rows,     c.cols,
                  a.cols,     {a.row_step, a.col_step, b.row_step, b.col_step, c.row_step},
                  accumulate, a.precision};
    const auto found = products.find(key);
    if (found != products.end()) return found->second;
    const auto chosen = plan(engine, a.desc(), b.desc(), c.desc(), accumulate);
    const memory::desc pad = chosen.scratchpad_desc();
    if (pad.get_size() > scratch.size()) scratch.resize(pad.get_size());
    return products.emplace(key, Product{a.desc(), b.desc(), c.desc(), pad, dnnl::matmul(chosen)})
        .first->second;
  }

  // A matrix that is summed over its rows (both of dy^T x, the weights of dy w) is packed across them, which
  // on AVX2 takes up to half of a product's time where rows of 1 KiB or a multiple of it evict each other
  // (oneDNN 2.6, Zen 3). Such a one is replaced by a copy with its rows a line further apart.
  void spread(View& m, std::vector<float>& room) {
    std::int64_t& step = m.row_step == 1 ? m.col_step : m.row_step;
    if (!avx2 || step % kCrowded != 0 || m.precision != Precision::float32) return;
    const auto [rows, length] = m.row_step == 1 ? std::pair(m.cols, m.rows) : std::pair(m.rows, m.cols);
    const std::int64_t apart = step + kLine;
    room.resize(std::max(room.size(), static_cast<std::size_t>(rows * apart)));
    for (std::int64_t r = 0; r < rows; ++r)
      std::memcpy(room.data() + r * apart, static_cast<const float*>(m.data) + r * step,
                  static_cast<std::size_t>(length) * sizeof(float));
    m.data = room.data();
    step = apart;
  }

  void multiply(const View& a, const View& b, const View& c, bool accumulate) {
    Product& p = product(a, b, c, accumulate);
    const auto wrap = [&](const memory::desc& desc, const void* data) {
      return memory(desc, engine, const_cast<void*>(data));
    };
    p.primitive.execute(stream, {{DNNL_ARG_SRC, wrap(p.a, a.data)},
                                 {DNNL_ARG_WEIGHTS, wrap(p.b, b.data)},
                                 {DNNL_ARG_DST, wrap(p.c, c.data)},
                                 {DNNL_ARG_SCRATCHPAD, wrap(p.scratch, scratch.data())}});
    stream.wait();
  }
};

MatmulEngine::MatmulEngine(int threads) : impl_((enter_thread_gate(threads), std::make_unique<Impl>())) {
  impl_->threads = threads;
}
MatmulEngine::~MatmulEngine() = default;

void MatmulEngine::run(Operand a, bool transpose_a, Operand b, bool transpose_b, Matrix c, bool accumulate,
                       const std::function<void(std::int64_t rows)>& between) {
  enter_thread_gate(impl_->threads);
  View left(a, transpose_a), right(b, transpose_b);
  const View result(c, false);
  if (transpose_a) impl_->spread(left, impl_->spread_left);
  if (!transpose_b) impl_->spread(right, impl_->spread_right);
  const bool by_rows = c.rows >= c.cols;
  const std::int64_t side = by_rows ? c.rows : c.cols, across = by_rows ? c.cols : c.rows;
  const double each = 2.0 * static_cast<double>(across * left.cols);
  // x w^T, of forward, stays whole: panels of it take a third longer (oneDNN 2.6), and nothing waits for
  // them.
  const std::int64_t panel = transpose_b ? side : panel_of(side, each);
  for (std::int64_t at = 0; at < side; at += panel) {
    const std::int64_t count = std::min(panel, side - at);
    try {
      if (by_rows)
        impl_->multiply(left.rows_from(at, count), right, result.rows_from(at, count), accumulate);
      else
        impl_->multiply(left, right.cols_from(at, count), result.cols_from(at, count), accumulate);
    } catch (const dnnl::error& e) {
      throw Error(fmt::format("oneDNN cannot multiply {}x{} by {}x{}: {}", a.rows, a.cols, b.rows, b.cols,
                              e.message));
    }
    if (at + count < side) between(by_rows ? at + count : 0);
  }
}

std::string MatmulEngine::why_not_bfloat16() {
  const std::uint16_t one = 0x3f80;
  float product = 0;
  try {
    const View half({&one, 1, 1, Precision::bfloat16}, false);
    impl_->product(half, half, {Matrix{&product, 1, 1}, false}, false);
  } catch (const dnnl::error&) {
    return fmt::format("that needs a processor with AVX-512, and oneDNN may use {} here", dnnl_isa_text());
  }
  return "";
}

std::string dnnl_version_text() {
  const dnnl_version_t* v = dnnl_version();
  return fmt::format("oneDNN {}.{}.{}", v->major, v->minor, v->patch);
}

std::string dnnl_isa_text() {
  using dnnl::cpu_isa;
  const cpu_isa isa = dnnl::get_effective_cpu_isa();
  const std::pair<cpu_isa, const char*> names[] = {{cpu_isa::sse41, "sse41"},
                                                   {cpu_isa::avx, "avx"},
                                                   {cpu_isa::avx2, "avx2"},
                                                   {cpu_isa::avx2_vnni, "avx2_vnni"},
                                                   {cpu_isa::avx512_core, "avx512_core"},
                                                   {cpu_isa::avx512_core_vnni, "avx512_core_vnni"},
                                                   {cpu_isa::avx512_core_bf16, "avx512_core_bf16"}};
  for (const auto& [value, name] : names)
    if (value == isa) return name;
  return fmt::format("isa-{:#x}", static_cast<unsigned>(isa));
}

}  // namespace rondo
