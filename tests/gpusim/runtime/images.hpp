// The program's kernels: PTX out of its fat binaries, decoded for a device when it is first needed.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "interp/decode.hpp"
#include "memory/table.hpp"

namespace gpusim {

struct Image {
  std::string text;
  struct Instance {  // variables have another address on each device
    std::unique_ptr<Program> program;
    std::map<std::string, Allocation*> variables;
  };
  std::map<int, Instance> by_device;

  Instance& on(int device);
};

struct Kernel {
  Image* image;
  std::string name;
  size_t dynamic_limit = size_t{48} << 10;  // cudaFuncAttributeMaxDynamicSharedMemorySize
  const Code& code(int device);
};

Image* add_image(const void* fat_binary_wrapper);
Kernel* add_kernel(Image* image, const void* host_function, const char* name);
Kernel* kernel_of(const void* host_function);  // or of what __cudaGetKernel gave out; null for nonsense

void add_variable(Image* image, const void* host_variable, const char* name);
Allocation* variable_of(const void* host_variable, int device);  // null for nonsense

void write_coverage();

}  // namespace gpusim
