"""The program as it was built, training on simulated GPUs: stand-ins for CUDA's libraries in front of the library
path interpret its own kernels. A finding of theirs (race, out of bounds, missing wait, ...) ends a run with 86."""

import json
import os
import unittest

from rondo_testing import RondoTest, run, settings, write_config

SIMULATOR = {"LD_LIBRARY_PATH": os.environ["RONDO_GPUSIM"], "GPUSIM_DEVICES": "4"}
# The energy task with every layer that it can have, at most 20,000 parameters.
GPU = {
    "device.kind": "cuda", "train.max_steps": 4, "train.global_batch": 16, "train.micro_batches": 4,
    "train.log_every": 1, "exchange.bucket_bytes": 4096, "energy.test_weeks": 1, "energy.validation_weeks": 1,
    "model.layers": ["linear 24 gelu", "layer_norm", "residual linear 24 silu", "dropout 0.1"],
}


class OnGpus(RondoTest):
    def on_gpus(self, name, *flags, ranks, sets=None, env=None, **options):
        return self.trained(name, *flags, ranks=ranks, sets=GPU | (sets or {}), env=SIMULATOR | (env or {}),
                            timeout=300, **options)

    def steps(self, name):
        return [line for line in self.metrics(name) if "loss" in line]


class Digest(OnGpus):
    def test_the_same_on_any_number_of_gpus_and_near_the_cpu(self):
        digests = {ranks: self.on_gpus(f"gpus{ranks}", ranks=ranks) for ranks in (1, 2, 3, 4)}
        self.assertEqual(len(set(digests.values())), 1, digests)
        self.assertIn("on cuda of 4 micro-batches a step, exact exchange over nccl", self.log_of("gpus2"))
        self.trained("cpu", sets=GPU | {"device.kind": "cpu"})
        for gpu, cpu in zip(self.steps("gpus1"), self.steps("cpu"), strict=True):
            self.assertAlmostEqual(gpu["loss"] / cpu["loss"], 1, delta=1e-4)
            self.assertAlmostEqual(gpu["gradient_norm"] / cpu["gradient_norm"], 1, delta=1e-3)

    def log_of(self, name):
        return (self.folder / name / "logs/rank-0000.log").read_text()

    def test_whatever_order_streams_and_threads_take(self):
        """Five seeds of the simulator's schedule, with three sizes of buckets."""
        digests = set()
        for seed, bucket in enumerate((4096, 16384, 1 << 20, 4096, 8192), 1):
            digests.add(self.on_gpus(f"seed{seed}", ranks=2, env={"GPUSIM_SEED": str(seed)},
                                     sets={"exchange.bucket_bytes": bucket, "train.max_steps": 2}))
        self.assertEqual(len(digests), 1, digests)

    def test_sharded_optimizer(self):
        sets = {"train.max_steps": 2}
        plain = self.on_gpus("plain", ranks=2, sets=sets)
        for ranks in (2, 3):
            self.assertEqual(self.on_gpus(f"sharded{ranks}", ranks=ranks, sets=sets | {"optimizer.sharded": True}), plain)

    def test_float32_sums_and_products_of_every_precision(self):
        sets = {"train.max_steps": 2}
        exact = self.on_gpus("exact", ranks=2, sets=sets)
        self.assertNotEqual(self.on_gpus("float32", ranks=2, sets=sets | {"exchange.arithmetic": "float32"}), exact)
        seen = {exact}
        for precision in "tf32", "bfloat16", "float16":
            digests = {self.on_gpus(f"{precision}-{ranks}", ranks=ranks, env={"GPUSIM_COMPUTE": "8.0"},
                                    sets=sets | {"train.precision": precision}) for ranks in (1, 2)}
            self.assertEqual(len(digests), 1)
            self.assertFalse(digests & seen)
            seen |= digests
            for half, full in zip(self.steps(f"{precision}-1"), self.steps("exact"), strict=True):
                self.assertAlmostEqual(half["loss"] / full["loss"], 1, delta=0.02)
                self.assertAlmostEqual(half["gradient_norm"] / full["gradient_norm"], 1, delta=0.05)  # unscaled

    def test_an_overflow_of_float16_halves_the_loss_scale_and_loses_nothing(self):
        """Two samples a batch: times 2^16 the gradient of an error above 1 is beyond float16."""
        self.config = write_config(self.folder / "synthetic.toml", {
            "task.kind": "synthetic", "synthetic.samples": 64, "synthetic.inputs": 1, "synthetic.targets": 1,
            "model.layers": ["linear 8 gelu"], "train.global_batch": 2, "train.micro_batches": 2, "train.log_every": 1,
            "train.max_steps": 12, "checkpoint.every_steps": 6, "device.kind": "cuda", "train.precision": "float16"})

        def trained(name, *flags, ranks):
            return self.trained(name, *flags, ranks=ranks, env=SIMULATOR, timeout=300)

        whole = trained("whole", ranks=1)
        self.assertRegex(self.log_of("whole"), r"float16 overflowed: computed again with the loss scale halved \d")
        self.assertEqual(len(self.steps("whole")), 12)
        self.assertEqual(trained("two", ranks=2), whole)
        self.copy_until("whole", "again", 6)  # the loss scale is in the checkpoint
        self.assertEqual(trained("again", "--resume", ranks=2), whole)


class Checkpoints(OnGpus):
    def test_written_on_a_gpu_and_read_on_a_cpu_and_back(self):
        sets = {"checkpoint.every_steps": 2}
        whole = self.on_gpus("whole", ranks=2, sets=sets)
        scores = {}
        for kind, env in (("cuda", SIMULATOR), ("cpu", {})):
            result = self.succeed("eval", self.folder / "whole", "--json", "--set", f"device.kind={kind}", env=env, timeout=120)
            scores[kind] = json.loads(result.text)["metrics"]["mape"]
        self.assertAlmostEqual(scores["cuda"] / scores["cpu"], 1, delta=1e-4)
        self.copy_until("whole", "again", 2)  # on another number of GPUs: the same bytes
        self.assertEqual(self.on_gpus("again", "--resume", ranks=3, sets=sets), whole)
        self.copy_until("whole", "on-cpu", 2)
        cpu = sets | {"device.kind": "cpu"}
        refused = self.train("on-cpu", "--resume", sets=GPU | cpu)
        self.assertIn("add --accept-numerics", refused.text)
        self.trained("on-cpu", "--resume", "--accept-numerics", sets=GPU | cpu)
        self.copy_until("on-cpu", "back", 2)
        self.on_gpus("back", "--resume", "--accept-numerics", ranks=2, sets=sets)


class Trouble(OnGpus):
    def fails(self, *expected, ranks=2, sets=None, env=None, timeout=60):
        result = self.train("run", ranks=ranks, sets=GPU | (sets or {}), env=SIMULATOR | (env or {}), timeout=timeout)
        self.assertNotIn(result.code, (0, 86), result.text)
        self.assertGreaterEqual(len(result.errors), 1, result.text)
        for text in expected:
            self.assertIn(text, result.errors[0])

    def test_more_ranks_than_cards(self):
        self.fails("1 GPU(s) for 2 rank(s)", "at most one rank a GPU", env={"GPUSIM_DEVICES": "1"})

    def test_out_of_memory(self):
        self.fails("out of memory", "train.global_batch", env={"GPUSIM_MEMORY": "64K"})

    def test_an_id_outside_an_embedding(self):
        for ranks in (1, 2):
            self.fails("embedding id", "is outside 0..3", ranks=ranks,
                       sets={"model.layers": ["embedding 4 2", "linear 8 gelu"]})

    def test_a_transport_for_host_memory(self):
        self.fails('exchange.algorithm = "ring" sums in host memory', sets={"exchange.algorithm": "ring"})

    def test_nccl_reports_an_error(self):
        self.fails("all-reduce of words", "remote process exited", env={"GPUSIM_NCCL_FAIL": "0:3"})

    def test_nccl_hangs(self):
        self.fails("rank 0", "all-reduce of words", "dead or stuck", sets={"exchange.timeout_s": 2},
                   env={"GPUSIM_NCCL_HANG": "1:3"})

    def test_doctor_knows_the_card(self):
        self.assertIn("Simulated GPU, compute capability", run("doctor", env=SIMULATOR).text)


if __name__ == "__main__":
    unittest.main()
