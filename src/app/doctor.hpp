// What the parts of `rondo doctor` share.
#pragma once

#include <string>

namespace rondo::doctor {

void line(const std::string& name, const std::string& text);
/// Something to mend: the doctor ends with exit code 1.
void wrong(const std::string& text);
/// Something to know.
void note(const std::string& text);

/// The cards of this host, for so many ranks on it.
void report_gpus(int local_size);

}  // namespace rondo::doctor
