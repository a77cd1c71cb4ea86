#include "rondo/train/step_bench.hpp"

#include "rondo/core/clock.hpp"
#include "rondo/train/session.hpp"

namespace rondo {

StepFigures bench_step(const StepBench& bench, Communicator& comm, TaskFactory factory) {
  RunConfig config;
  std::unique_ptr<Backend> backend;
  together(comm, [&] {
    config = read_config(ConfigReader::from_file(bench.config, bench.overrides), factory);
    backend = make_backend(config.device, comm.local_rank(), comm.local_size());
    config.task->open();
  });
  const std::int64_t warm_up = bench.steps / 10 + 1, total = bench.steps + warm_up;
  config.train.max_steps = total;
  Trainer trainer(config, *backend, comm);
  const Assignment mine = trainer.assigned();
  Loader loader(config.task->dataset(Split::train), trainer.sampler(), 0, total, mine.begin, mine.end,
                trainer.batch_rows());
  StepFigures figures{config.train.global_batch,
                      trainer.model().train_flops() * static_cast<double>(config.train.global_batch),
                      {},
                      {}};
  comm.barrier();
  for (std::int64_t step = 0; step < total; ++step) {
    const double begin = now_s();
    const StepData& data = loader.next(600);
    const double waited = now_s() - begin;
    StepResult result = trainer.step(data, kNoRequest);
    if (step < warm_up) continue;
    result.times.data = waited;
    figures.times.push_back(result.times);
    figures.wall.push_back(now_s() - begin);
  }
  return figures;
}

}  // namespace rondo
