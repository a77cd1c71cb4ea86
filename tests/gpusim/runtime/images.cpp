#include "runtime/images.hpp"

#include <cstring>

#include "report.hpp"
#include "runtime/coverage.hpp"

namespace gpusim {
namespace {

// The layout of a fat binary, as nvcc's fatbinary writes it.
struct Wrapper {
  int magic, version;
  const uint8_t* data;
};
struct FatHeader {
  uint32_t magic;
  uint16_t version, header_size;
  uint64_t size;
};
struct EntryHeader {
  uint16_t kind, reserved;
  uint32_t header_size;
  uint64_t size;
};
constexpr uint16_t kind_ptx = 1;

std::string ptx_in(const uint8_t* data) {
  FatHeader fat;
  std::memcpy(&fat, data, sizeof fat);
  if (fat.magic != 0xba55ed50) return "";
  const uint8_t *at = data + fat.header_size, *end = at + fat.size;
  bool other = false;
  while (at + sizeof(EntryHeader) <= end) {
    EntryHeader entry;
    std::memcpy(&entry, at, sizeof entry);
    const char* text = reinterpret_cast<const char*>(at) + entry.header_size;
    std::string ptx(text, strnlen(text, entry.size));
    if (entry.kind == kind_ptx && ptx.find(".version") != std::string::npos) return ptx;
    other = true;
    at += entry.header_size + entry.size;
  }
  if (other) {
    std::fputs(
        "gpusim: a fat binary without readable PTX; build with -gencode arch=compute_75,code=compute_75 "
        "--no-compress\n",
        stderr);
  }
  return "";
}

struct Named {
  Image* image;
  std::string name;
};
// Never destroyed: programs make CUDA calls in their last destructors.
auto& images = *new std::vector<std::unique_ptr<Image>>;
auto& kernels = *new std::map<const void*, std::unique_ptr<Kernel>>;
auto& variables = *new std::map<const void*, Named>;

}  // namespace

Image::Instance& Image::on(int device) {
  Instance& instance = by_device[device];
  if (instance.program) return instance;
  ptx::Module module = ptx::parse(text);
  instance.program = decode(std::move(module), [&](const ptx::Variable& v) {
    Allocation* a =
        memory().add_device(std::max<size_t>(v.size, 1), device, MemoryKind::variable, "variable " + v.name);
    std::memset(a->data, 0, v.size);
    if (!v.initial.empty()) std::memcpy(a->data, v.initial.data(), v.size);
    a->shadow.set_valid(0, v.size, true);
    instance.variables[v.name] = a;
    return a->base;
  });
  auto link = [&](const ptx::Variable& v) {
    for (const auto& [offset, symbol] : v.pointers)
      if (instance.variables.count(symbol))
        std::memcpy(instance.variables[v.name]->data + offset, &instance.variables[symbol]->base, 8);
  };
  for (const ptx::Variable& v : instance.program->module.variables)
    if (instance.variables.count(v.name)) link(v);
  return instance;
}

const Code& Kernel::code(int device) {
  auto& functions = image->on(device).program->functions;
  auto it = functions.find(name);
  if (it == functions.end()) throw ptx::Error(0, "no kernel " + name + " in its image");
  return it->second;
}

Image* add_image(const void* wrapper) {
  images.push_back(std::make_unique<Image>());
  images.back()->text = ptx_in(static_cast<const Wrapper*>(wrapper)->data);
  return images.back().get();
}

Kernel* add_kernel(Image* image, const void* host_function, const char* name) {
  auto& k = kernels[host_function];
  k = std::make_unique<Kernel>(Kernel{image, name});
  return k.get();
}

Kernel* kernel_of(const void* host_function) {
  auto it = kernels.find(host_function);
  if (it != kernels.end()) return it->second.get();
  for (auto& [function, kernel] : kernels)
    if (kernel.get() == host_function) return kernel.get();
  return nullptr;
}

void add_variable(Image* image, const void* host_variable, const char* name) {
  variables[host_variable] = {image, name};
}

Allocation* variable_of(const void* host_variable, int device) {
  auto it = variables.find(host_variable);
  if (it == variables.end()) return nullptr;
  auto& placed = it->second.image->on(device).variables;
  auto found = placed.find(it->second.name);
  return found == placed.end() ? nullptr : found->second;
}

void write_coverage() {
  Coverage coverage;
  for (auto& image : images)
    for (auto& [device, instance] : image->by_device)
      if (instance.program) coverage.add(*instance.program);
  coverage.merge_into_folder();
}

}  // namespace gpusim
