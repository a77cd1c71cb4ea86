/// Named state: how modules hand their contents to checkpoints without knowing about files.
///
/// A `Snapshot` is a flat list of named arrays and named scalars, e.g. "parameters/layer0.weight". A
/// module describes itself once, in `visit(StateVisitor&)`; the same description saves and restores.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace rondo {

enum class DType : std::uint8_t { float32, float64, int16, int32, int64, uint32 };
std::size_t size_of(DType type);
std::string_view name_of(DType type);

/// One array by value. `bytes` holds the elements in row-major order, host byte order.
struct NamedArray {
  std::string name;  ///< path with '/' between groups
  DType type = DType::float32;
  std::vector<std::int64_t> shape;
  std::vector<std::byte> bytes;
};

using Scalar = std::variant<std::int64_t, double, std::string>;

struct Snapshot {
  std::vector<NamedArray> arrays;
  std::map<std::string, Scalar> scalars;

  const NamedArray* find(std::string_view name) const;  ///< nullptr if absent
  /// The scalar, or an InputError that names it when it is absent or of another type.
  std::int64_t integer(const std::string& name) const;
  double real(const std::string& name) const;
  const std::string& text(const std::string& name) const;
  /// One hex digest of all arrays whose name starts with `prefix`: names, types, shapes and bytes, by name.
  std::string digest(std::string_view prefix) const;
};

/// Data that the host may have no pointer to: how to copy all of it out, and in.
struct StateBytes {
  std::size_t size = 0;
  std::function<void(std::byte* to)> copy_out;
  std::function<void(const std::byte* from)> copy_in;
};

class StateVisitor {
 public:
  virtual ~StateVisitor() = default;
  /// The size of `data` is the product of `shape` times the size of an element.
  virtual void array(std::string_view name, DType type, const StateBytes& data,
                     std::span<const std::int64_t> shape) = 0;
  /// The same for host memory, which stays the caller's.
  void array(std::string_view name, DType type, std::span<std::byte> data,
             std::span<const std::int64_t> shape);
  virtual void scalar(std::string_view name, std::int64_t& value) = 0;
  virtual void scalar(std::string_view name, double& value) = 0;
  virtual void scalar(std::string_view name, std::string& value) = 0;

  void floats(std::string_view name, std::span<float> data, std::span<const std::int64_t> shape) {
    array(name, DType::float32, std::as_writable_bytes(data), shape);
  }
};

/// Copies what it visits into a snapshot. Names get `prefix` in front.
class SaveVisitor : public StateVisitor {
 public:
  explicit SaveVisitor(Snapshot& to, std::string prefix = "") : to_(to), prefix_(std::move(prefix)) {}
  using StateVisitor::array;
  void array(std::string_view, DType, const StateBytes&, std::span<const std::int64_t>) override;
  void scalar(std::string_view name, std::int64_t& value) override;
  void scalar(std::string_view name, double& value) override;
  void scalar(std::string_view name, std::string& value) override;

 private:
  Snapshot& to_;
  std::string prefix_;
};

/// Fills what it visits from a snapshot; a missing name, another type or another shape is an InputError.
class LoadVisitor : public StateVisitor {
 public:
  explicit LoadVisitor(const Snapshot& from, std::string prefix = "")
      : from_(from), prefix_(std::move(prefix)) {}
  using StateVisitor::array;
  void array(std::string_view, DType, const StateBytes&, std::span<const std::int64_t>) override;
  void scalar(std::string_view name, std::int64_t& value) override;
  void scalar(std::string_view name, double& value) override;
  void scalar(std::string_view name, std::string& value) override;

 private:
  const Snapshot& from_;
  std::string prefix_;
};

}  // namespace rondo
