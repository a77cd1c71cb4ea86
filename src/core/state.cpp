#include "rondo/core/state.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>

#include "rondo/core/digest.hpp"
#include "rondo/core/error.hpp"

namespace rondo {
namespace {

template <class T>
const T& get_scalar(const Snapshot& from, const std::string& name, const char* type) {
  const auto it = from.scalars.find(name);
  if (it == from.scalars.end()) input_error("the checkpoint has no `{}`", name);
  const T* value = std::get_if<T>(&it->second);
  if (value == nullptr) input_error("`{}` in the checkpoint is not {}", name, type);
  return *value;
}

}  // namespace

std::size_t size_of(DType type) {
  switch (type) {
    case DType::int16:
      return 2;
    case DType::float32:
    case DType::int32:
    case DType::uint32:
      return 4;
    case DType::float64:
    case DType::int64:
      return 8;
  }
  return 0;
}

std::string_view name_of(DType type) {
  switch (type) {
    case DType::float32:
      return "float32";
    case DType::float64:
      return "float64";
    case DType::int16:
      return "int16";
    case DType::int32:
      return "int32";
    case DType::int64:
      return "int64";
    case DType::uint32:
      return "uint32";
  }
  return "?";
}

const NamedArray* Snapshot::find(std::string_view name) const {
  for (const NamedArray& array : arrays)
    if (array.name == name) return &array;
  return nullptr;
}

std::int64_t Snapshot::integer(const std::string& name) const {
  return get_scalar<std::int64_t>(*this, name, "an integer");
}
double Snapshot::real(const std::string& name) const {
  return get_scalar<double>(*this, name, "a real number");
}
const std::string& Snapshot::text(const std::string& name) const {
  return get_scalar<std::string>(*this, name, "a text");
}

std::string Snapshot::digest(std::string_view prefix) const {
  std::vector<const NamedArray*> chosen;
  for (const NamedArray& array : arrays)
    if (array.name.starts_with(prefix)) chosen.push_back(&array);
  std::sort(chosen.begin(), chosen.end(), [](auto* a, auto* b) { return a->name < b->name; });
  Digest digest;
  for (const NamedArray* array : chosen) {
    digest.add(array->name).add(name_of(array->type));
    digest.add(std::as_bytes(std::span(array->shape))).add(std::span<const std::byte>(array->bytes));
  }
  return digest.hex();
}

void StateVisitor::array(std::string_view name, DType type, std::span<std::byte> data,
                         std::span<const std::int64_t> shape) {
  const auto copy = [n = data.size()](std::byte* to, const std::byte* from) {
    if (n != 0) std::memcpy(to, from, n);
  };
  array(name, type,
        StateBytes{data.size(), [&](std::byte* to) { copy(to, data.data()); },
                   [&](const std::byte* from) { copy(data.data(), from); }},
        shape);
}

void SaveVisitor::array(std::string_view name, DType type, const StateBytes& data,
                        std::span<const std::int64_t> shape) {
  NamedArray& array = to_.arrays.emplace_back();
  array = {
      prefix_ + std::string(name), type, {shape.begin(), shape.end()}, std::vector<std::byte>(data.size)};
  data.copy_out(array.bytes.data());
}
void SaveVisitor::scalar(std::string_view name, std::int64_t& value) {
  to_.scalars[prefix_ + std::string(name)] = value;
}
void SaveVisitor::scalar(std::string_view name, double& value) {
  to_.scalars[prefix_ + std::string(name)] = value;
}
void SaveVisitor::scalar(std::string_view name, std::string& value) {
  to_.scalars[prefix_ + std::string(name)] = value;
}

void LoadVisitor::array(std::string_view name, DType type, const StateBytes& data,
                        std::span<const std::int64_t> shape) {
  const std::string full = prefix_ + std::string(name);
  const NamedArray* array = from_.find(full);
  if (array == nullptr) input_error("the checkpoint has no array `{}`", full);
  if (array->type != type || !std::ranges::equal(array->shape, shape) || array->bytes.size() != data.size)
    input_error("`{}` in the checkpoint is {}[{}], but this model needs {}[{}]: was the model changed?", full,
                name_of(array->type), fmt::join(array->shape, ","), name_of(type), fmt::join(shape, ","));
  data.copy_in(array->bytes.data());
}
void LoadVisitor::scalar(std::string_view name, std::int64_t& value) {
  value = from_.integer(prefix_ + std::string(name));
}
void LoadVisitor::scalar(std::string_view name, double& value) {
  value = from_.real(prefix_ + std::string(name));
}
void LoadVisitor::scalar(std::string_view name, std::string& value) {
  value = from_.text(prefix_ + std::string(name));
}

}  // namespace rondo
