#include "model_file.hpp"

#include "rondo/io/checkpoint.hpp"
#include "rondo/tasks/registry.hpp"
#include "rondo/train/run_directory.hpp"
#include "rondo/train/session.hpp"

namespace rondo {

std::unique_ptr<OpenModel> open_model(const std::string& run_or_checkpoint,
                                      const std::vector<std::string>& overrides, Communicator& comm) {
  auto model = std::make_unique<OpenModel>();
  together(comm, [&] {
    model->path = find_checkpoint(run_or_checkpoint);
    model->snapshot = read_checkpoint(model->path);
    model->config = read_config(
        ConfigReader::from_text(model->snapshot.text("config"), model->path, overrides), make_task);
    model->backend = make_backend(model->config.device, comm.local_rank(), comm.local_size());
    settle_for_float32(model->config.train, *model->backend);
    model->config.task->open();
  });
  model->trainer = std::make_unique<Trainer>(model->config, *model->backend, comm);
  together(comm, [&] {
    LoadVisitor load(model->snapshot);
    model->trainer->visit(load);
  });
  return model;
}

}  // namespace rondo
