#include <algorithm>
#include <string>

#include "mpi_api.hpp"
#include "rondo/comm/communicator.hpp"
#include "rondo/core/error.hpp"

namespace rondo {

std::string mpi_version() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0, major = 0, minor = 0;
  MPI_Get_library_version(text, &length);
  MPI_Get_version(&major, &minor);
  // "Open MPI v4.1.4, package: ..." or, of other libraries, several lines.
  std::string library(text, static_cast<std::size_t>(length));
  library.resize(std::min(library.size(), library.find_first_of(",\n")));
  if (const auto v = library.find(" v"); v != std::string::npos) library.erase(v + 1, 1);
  return fmt::format("{} (MPI {}.{}), {}", library, major, minor,
                     mpi_has_ulfm() ? "ULFM compiled in" : "without ULFM");
}

}  // namespace rondo
