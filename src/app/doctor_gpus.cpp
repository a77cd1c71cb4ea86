// rondo doctor: the cards of this host.
#include <fmt/ranges.h>

#include "doctor.hpp"
#include "rondo/comm/communicator.hpp"
#include "rondo/core/error.hpp"
#include "rondo/device/backend.hpp"
#include "rondo/device/cards.hpp"

namespace rondo::doctor {
namespace {

constexpr double kGib = 1 << 30;

std::string tera(double flops) { return flops > 0 ? fmt::format("{:.1f}", flops * 1e-12) : "n/a"; }

void report(int index, const Card& card, std::size_t cards) {
  line(fmt::format("GPU {}", index),
       fmt::format(
           "{}, {:.1f} GiB, compute capability {}.{}, {} multiprocessors; peak TFLOP/s: {} in float32, "
           "{} in tf32, {} in bfloat16 or float16",
           card.name, static_cast<double>(card.memory) / kGib, card.major, card.minor, card.multiprocessors,
           tera(card.peak_float32), tera(card.peak_tf32), tera(card.peak_halves)));
  if (card.major < 8)
    note(
        "no bfloat16 and no tf32: they need compute capability 8.0; set train.precision = \"float16\" or "
        "\"float32\"");
  if (cards == 1) return;
  if (card.peers.empty())
    note("reaches no other card's memory: sums between them go through the host, which is slower");
  else
    line("", fmt::format("reaches the memory of GPU {}", fmt::join(card.peers, ", ")));
}

}  // namespace

void report_gpus(int local_size) {
  const CardReport found = report_cards();
  if (found.runtime.empty()) return;  // a build without CUDA: the line of devices says it
  line("CUDA",
       fmt::format("driver {}, runtime {}, cuBLAS {}, NCCL {}", found.driver.empty() ? "none" : found.driver,
                   found.runtime, found.cublas, nccl_version()));
  for (std::size_t i = 0; i < found.cards.size(); ++i)
    report(static_cast<int>(i), found.cards[i], found.cards.size());
  const auto cards = static_cast<int>(found.cards.size());
  if (const std::string reason = why_not("cuda"); cards > 0 && !reason.empty())
    wrong(fmt::format("there is a GPU, but it cannot be used: {}", reason));
  else if (cards > 0 && local_size < cards)
    note(fmt::format("{} rank(s) use {} of {} GPUs: mpirun -n {} uses all", local_size, local_size, cards,
                     cards));
}

}  // namespace rondo::doctor
