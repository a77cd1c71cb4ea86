#include "rondo/nn/parameters.hpp"

#include <algorithm>
#include <type_traits>

#include "rondo/core/error.hpp"

namespace rondo {

int ParameterStore::add(std::string name, std::vector<std::int64_t> shape, Init init, bool decay) {
  RONDO_CHECK(arena_ == nullptr, "parameter {} added after allocation", name);
  Parameter p{std::move(name), std::move(shape), init, decay, total_, 1};
  for (const std::int64_t n : p.shape) p.size *= n;
  total_ = p.end();
  list_.push_back(std::move(p));
  return static_cast<int>(list_.size()) - 1;
}

std::int64_t ParameterStore::end_layer() {
  layer_ends_.push_back(total_);
  return total_;
}

std::int64_t ParameterStore::largest_layer() const {
  std::int64_t largest = 0, begin = 0;
  for (const std::int64_t end : layer_ends_) {
    largest = std::max(largest, end - begin);
    begin = end;
  }
  return largest;
}

void ParameterStore::attach_layer(std::int64_t begin, real* memory) {
  gradients_ = memory, gradients_begin_ = begin;
  const auto end = std::ranges::upper_bound(layer_ends_, begin);
  const auto in_layer = [&](const Parameter& p) { return end != layer_ends_.end() && p.offset < *end; };
  auto p = std::ranges::lower_bound(list_, begin, {}, &Parameter::offset);
  for (; p != list_.end() && in_layer(*p); ++p)
    backend_->clear(gradients_ + (p->offset + p->size - begin),
                    static_cast<std::size_t>(p->end() - p->offset - p->size) * sizeof(real));
}

void ParameterStore::allocate(Backend& backend, std::uint64_t seed, real* memory) {
  backend_ = &backend;
  if (memory == nullptr) values_ = backend.allocate(static_cast<std::size_t>(total_) * sizeof(real));
  arena_ = memory != nullptr ? memory : static_cast<real*>(values_->data());
  for (std::size_t t = 0; t < list_.size(); ++t) {
    const Parameter& p = list_[t];
    const RandomStream stream{seed, Purpose::init, 0, static_cast<std::uint32_t>(t)};
    std::vector<real> host(static_cast<std::size_t>(p.size));
    for (std::size_t i = 0; i < host.size(); ++i) {
      const double u = 2.0 * static_cast<double>(stream.uniform(i)) - 1.0;
      host[i] = static_cast<real>(p.init.centre + p.init.bound * u);
    }
    backend.copy_in(arena() + p.offset, host.data(), host.size() * sizeof(real));
  }
  touch();
}

void ParameterStore::move(real* memory) {
  if (memory == arena_ || (memory == nullptr && values_ != nullptr)) return;
  const std::size_t bytes = static_cast<std::size_t>(total_) * sizeof(real);
  std::unique_ptr<Buffer> own = memory == nullptr ? backend_->allocate(bytes) : nullptr;
  real* const to = own != nullptr ? static_cast<real*>(own->data()) : memory;
  backend_->copy(to, arena_, bytes);
  values_ = std::move(own);
  arena_ = to;
  touch();
}

std::int64_t ParameterStore::parameter_count() const {
  std::int64_t count = 0;
  for (const Parameter& p : list_) count += p.size;
  return count;
}

void ParameterStore::visit(StateVisitor& visitor, const std::string& prefix, real* arena) {
  constexpr DType type = std::is_same_v<real, float> ? DType::float32 : DType::float64;
  for (const Parameter& p : list_) {
    const std::size_t bytes = static_cast<std::size_t>(p.size) * sizeof(real);
    real* const device = arena + p.offset;
    visitor.array(prefix + "/" + p.name, type,
                  StateBytes{bytes, [&](std::byte* to) { backend_->copy_out(to, device, bytes); },
                             [&](const std::byte* from) { backend_->copy_in(device, from, bytes); }},
                  p.shape);
  }
}

}  // namespace rondo
