// Stands in for src/device/cuda/ in a build without CUDA.
#include "cuda.hpp"
#include "rondo/core/error.hpp"
#include "rondo/device/cards.hpp"

namespace rondo {

bool built_with_cuda() { return false; }
CardReport report_cards() { return {}; }
std::string why_not_cuda() { return "this build has no CUDA backend"; }
std::unique_ptr<Backend> make_cuda_backend(int, int) { throw Error(why_not_cuda()); }

}  // namespace rondo
