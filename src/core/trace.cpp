#include "rondo/core/trace.hpp"

namespace rondo {

std::vector<Span>*& trace() {
  static std::vector<Span>* spans = nullptr;
  return spans;
}

}  // namespace rondo
