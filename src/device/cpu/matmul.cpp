#include "matmul.hpp"

#include <map>
#include <oneapi/dnnl/dnnl.hpp>
#include <tuple>
#include <vector>

#include "rondo/core/error.hpp"
#include "thread_gate.hpp"

namespace rondo {
namespace {

using dnnl::memory;

memory::desc describe(const Operand& m, bool transpose) {
  const auto type = m.precision == Precision::bfloat16 ? memory::data_type::bf16 : memory::data_type::f32;
  if (transpose) return {{m.cols, m.rows}, type, memory::dims{1, m.cols}};
  return {{m.rows, m.cols}, type, memory::dims{m.cols, 1}};
}

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

struct Product {
  memory::desc a, b, c, scratch;
  dnnl::matmul primitive;
};

}  // namespace

struct MatmulEngine::Impl {
  int threads;
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  std::vector<std::byte> scratch;
  using Key = std::tuple<std::int64_t, std::int64_t, std::int64_t, bool, bool, bool, Precision>;
  std::map<Key, Product> products;  // a training step has a dozen shapes: all are planned once

  Product& product(const Operand& a, bool ta, const Operand& b, bool tb, const Matrix& c, bool accumulate) {
    const Key key{c.rows, c.cols, ta ? a.rows : a.cols, ta, tb, accumulate, a.precision};
    const auto found = products.find(key);
    if (found != products.end()) return found->second;
    const memory::desc da = describe(a, ta), db = describe(b, tb), dc = describe(c, false);
    const auto chosen = plan(engine, da, db, dc, accumulate);
    const memory::desc pad = chosen.scratchpad_desc();
    if (pad.get_size() > scratch.size()) scratch.resize(pad.get_size());
    return products.emplace(key, Product{da, db, dc, pad, dnnl::matmul(chosen)}).first->second;
  }
};

MatmulEngine::MatmulEngine(int threads) : impl_((enter_thread_gate(threads), std::make_unique<Impl>())) {
  impl_->threads = threads;
}
MatmulEngine::~MatmulEngine() = default;

void MatmulEngine::run(Operand a, bool transpose_a, Operand b, bool transpose_b, Matrix c, bool accumulate) {
  enter_thread_gate(impl_->threads);
  try {
    Product& p = impl_->product(a, transpose_a, b, transpose_b, c, accumulate);
    const auto wrap = [&](const memory::desc& desc, const void* data) {
      return memory(desc, impl_->engine, const_cast<void*>(data));
    };
    p.primitive.execute(impl_->stream, {{DNNL_ARG_SRC, wrap(p.a, a.data)},
                                        {DNNL_ARG_WEIGHTS, wrap(p.b, b.data)},
                                        {DNNL_ARG_DST, wrap(p.c, c.data)},
                                        {DNNL_ARG_SCRATCHPAD, wrap(p.scratch, impl_->scratch.data())}});
    impl_->stream.wait();
  } catch (const dnnl::error& e) {
    throw Error(
        fmt::format("oneDNN cannot multiply {}x{} by {}x{}: {}", a.rows, a.cols, b.rows, b.cols, e.message));
  }
}

std::string MatmulEngine::why_not_bfloat16() {
  const std::uint16_t one = 0x3f80;
  float product = 0;
  try {
    impl_->product({&one, 1, 1, Precision::bfloat16}, false, {&one, 1, 1, Precision::bfloat16}, false,
                   {&product, 1, 1}, false);
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
