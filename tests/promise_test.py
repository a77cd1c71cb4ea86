"""The promise: the trained weights are the same bits at any number of ranks, by any way of summing."""

import json
import re
import unittest
from pathlib import Path

import h5py

from rondo_testing import ELECDEMAND, PATIENCE, SOURCE, TINY, RondoTest, rows_of

ALGORITHMS = ["shared", "ring", "mpi"]
BUCKETS = [4096, 16384, 65536, 1048576]
ANY_LAYERS = {
    "data.path": ELECDEMAND, "data.known": ["temperature", "workday"], "model.members": 2,
    "model.layers": ["linear 24 gelu", "layer_norm", "residual linear 24 silu", "dropout 0.2", "linear 9 relu"],
}
HAS_AVX512 = " avx512f " in Path("/proc/cpuinfo").read_text()
LESSER = "AVX2" if HAS_AVX512 else "AVX"  # than what this machine has


class Promise(RondoTest):
    def ways(self, name, cases, **options):
        """Trains every (ranks, settings) of `cases`; all must end in the digest of the first."""
        digests = {}
        for number, (ranks, sets) in enumerate(cases):
            digests[ranks, str(sets)] = self.trained(f"{name}{number}", ranks=ranks, sets=sets, **options)
        self.assertEqual(len(set(digests.values())), 1, digests)
        return self.digest(self.folder / f"{name}0")

    def test_ranks_algorithms_and_buckets(self):
        cases = [(None, {})]
        for p, ranks in enumerate([1, 2, 3, 4]):  # every pair of values meets: 16 runs of the 48
            for b, bucket in enumerate(BUCKETS):
                cases.append((ranks, {"exchange.algorithm": ALGORITHMS[(p + b) % 3], "exchange.bucket_bytes": bucket}))
        self.ways("run", cases)

    def test_layers_known_columns_and_unequal_shares(self):
        shapes = ANY_LAYERS | {"train.micro_batches": 6, "train.global_batch": 42, "exchange.bucket_bytes": 4096}
        self.ways("run", [(ranks, shapes) for ranks in (None, 2, 3, 4)])

    def test_one_micro_batch_a_rank(self):
        for ranks in (2, 3, 4):
            sets = {"train.micro_batches": ranks, "train.global_batch": 12 * ranks, "exchange.bucket_bytes": 4096}
            with self.subTest(ranks=ranks):
                ways = [(None, sets)] + [(ranks, sets | {"exchange.algorithm": a}) for a in ALGORITHMS]
                self.ways(f"run{ranks}-", ways)
                self.assertIn("exact, fused exchange over shared", self.log(f"run{ranks}-1", 0))
                self.assertNotIn("fused", self.log(f"run{ranks}-2", 0))

    def test_many_micro_batches_a_rank(self):
        sets = {"train.micro_batches": 16, "train.global_batch": 64, "exchange.bucket_bytes": 4096}
        self.ways("run", [(None, sets), (2, sets), (3, sets), (4, sets), (3, sets | {"exchange.algorithm": "ring"})])

    def test_large_layers(self):
        """Their gradients come in parts, and leave while the rest of the layer is still being computed."""
        sets = {"model.layers": ["linear 1024 gelu", "linear 1024 gelu"], "train.global_batch": 768, "train.max_steps": 4}
        for micro_batches, ranks in ((4, (2, 3, 4)), (2, (2,))):
            parts = sets | {"train.micro_batches": micro_batches}
            ways = [(n, parts | {"exchange.algorithm": a}) for n in ranks for a in ("shared", "ring")]
            self.ways(f"run{micro_batches}-", [(None, parts), *ways])
        int8 = sets | {"train.micro_batches": 4, "exchange.compression": "int8"}
        self.ways("int8-", [(None, int8), *((n, int8 | {"exchange.algorithm": "ring"}) for n in (2, 4))])

    def test_spares(self):
        """Ranks without micro-batches add nothing, and all have the weights: any of them may write the checkpoint."""
        self.ways("run", [(None, {})] + [(ranks, {"recovery.spares": spares, "exchange.algorithm": algorithm})
                                         for ranks, spares, algorithm in
                                         ((4, 0, "shared"), (2, 1, "shared"), (5, 1, "shared"), (4, 2, "ring"), (3, 2, "mpi"))])
        self.assertIn("4 rank(s) and 1 spare(s) on", self.log("run3", 0))
        self.assertIn("this rank is a spare", self.log("run3", 4))
        self.assertIn("a death ends the job here all the same", self.log("run3", 0))

    def test_sharded_optimizer(self):
        """Who updates which weights does not show, nor in a checkpoint from which another number of ranks goes on."""
        sets = {"checkpoint.every_steps": 20, "optimizer.clip_norm": 0.05}  # which takes the norm of all gradients
        ways = [(None, sets)] + [(ranks, sets | {"optimizer.sharded": sharded, "exchange.algorithm": algorithm})
                                 for ranks in (2, 3, 4) for sharded, algorithm in
                                 ((True, "shared"), (False, "shared"), (True, "ring"), (True, "mpi"))]
        self.ways("run", ways)
        self.assertIn("sharded optimizer", self.log("run1", 0))
        self.assertNotIn("sharded optimizer", self.log("run2", 0))
        states = set()
        for name in ("run0", "run1", "run2", "run7"):
            with h5py.File(self.folder / name / "checkpoints/step-00000020.h5") as f:
                states.add(tuple(f[part][layer][()].tobytes() for part in ("optimizer/mean", "optimizer/square", "average")
                                 for layer in sorted(f[part])))
        self.assertEqual(len(states), 1)
        self.copy_until("run1", "resumed", 20)
        self.assertEqual(self.trained("resumed", "--resume", ranks=3, sets=sets), self.digest(self.folder / "run0"))

    def test_redos(self):
        lines = rows_of(SOURCE / ELECDEMAND)
        for at, factor in ((3000, 1000), (9000, 1e-3)):
            time, demand, *rest = lines[at].split(",")
            lines[at] = ",".join([time, str(float(demand) * factor), *rest])
        spiky = self.folder / "spiky.csv"
        spiky.write_text("\n".join(lines))
        sets = {"data.path": str(spiky), "train.global_batch": 8, "exchange.bucket_bytes": 4096}
        cases = [(None, sets), (2, sets | {"exchange.algorithm": "ring"}), (3, sets), (4, sets)]
        self.ways("run", cases)
        redone = [self.redone(f"run{n}", 0) for n in range(len(cases))]
        self.assertGreater(max(redone[0]), 5, "the spikes provoked no redo in mid-run")
        self.assertEqual(redone, [redone[0]] * len(cases))
        self.assertEqual(self.redone("run3", 3), redone[0])

    def test_a_slow_rank_gets_fewer_micro_batches(self):
        sets = {"train.micro_batches": 16, "train.global_batch": 64}
        slow = {"RONDO_CHAOS": "rank=1,step=10,phase=forward,fault=slow"}
        calm = self.trained("calm", sets=sets)
        self.assertEqual(self.trained("slow", ranks=2, sets=sets, env=slow), calm)
        self.assertRegex(self.log("slow", 0), r"step \d+: balance: \d+ \d+ -> 1[1-9] [1-5] micro-batches")
        told = json.loads(self.succeed("inspect", self.folder / "slow", "--json").text)["run"]["balance"]
        moved = [move for move in told if re.match(r"\d+ \d+ -> 1[1-9] [1-5] micro-batches; one takes", move["what"])]
        self.assertTrue(moved, told)
        self.assertIn(f"step {moved[0]['step']}: {moved[0]['what']}", self.succeed("inspect", self.folder / "slow").text)
        self.assertEqual(self.trained("fixed", ranks=2, sets=sets | {"train.balance": False}, env=slow), calm)
        self.assertNotIn("balance:", self.log("fixed", 0))
        self.trained("float32", ranks=2, sets=sets | {"exchange.arithmetic": "float32"}, env=slow)
        self.assertNotIn("balance:", self.log("float32", 0))

    def test_a_rank_that_is_far_too_slow_becomes_a_spare(self):
        sets = {"train.micro_batches": 16, "train.global_batch": 64, "train.max_steps": 1060}
        us = round(3000 * PATIENCE)  # beside what a micro-batch takes
        slow = {"RONDO_CHAOS": f"rank=1,step=10,phase=forward,fault=slow,us={us},entries=1000000"}
        calm = self.trained("calm", sets=sets)
        self.assertEqual(self.trained("slow", ranks=3, sets=sets, env=slow), calm)
        self.assertRegex(self.log("slow", 0), r"step \d+: balance: .* times as long as on the others: rank 1 is a spare from now on")

    def test_environment_set_against_us(self):
        hostile = {"OMP_DYNAMIC": "true", "OMP_THREAD_LIMIT": "1", "OMP_NUM_THREADS": "4"}
        calm = self.trained("calm")
        self.assertEqual(self.trained("alone", env=hostile), calm)
        self.assertEqual(self.trained("three", env=hostile, ranks=3), calm)
        self.assertEqual(self.trained("mixed", groups=[(1, {}), (1, hostile)]), calm)

    def test_two_threads(self):
        self.ways("run", [(ranks, {"device.threads": 2}) for ranks in (None, 2, 3)])

    def test_bfloat16(self):
        if not HAS_AVX512:
            refused = self.train("run", sets={"train.precision": "bfloat16"})
            self.assertEqual((refused.code, len(refused.errors)), (2, 1), refused.text)
            self.assertIn("needs a processor with AVX-512", refused.errors[0])
            self.skipTest("this processor has no AVX-512; it is refused in one line")
        digest = self.ways("run", [(ranks, {"train.precision": "bfloat16"}) for ranks in (None, 2, 4)])
        self.assertNotEqual(digest, self.trained("float32"))

    def test_float32_sums_do_differ(self):
        """Outside the promise: this shows that the tests above can fail."""
        sets = {"exchange.arithmetic": "float32"}
        self.assertGreater(len({self.trained(f"run{ranks}", ranks=ranks, sets=sets) for ranks in (1, 2, 3)}), 1)

    def test_what_must_change_the_weights_does(self):
        digests = [self.trained("base")]
        for number, sets in enumerate([{"train.seed": 2}, {"train.micro_batches": 8}, {"train.max_steps": 41}]):
            digests.append(self.trained(f"run{number}", sets=sets))
        self.assertEqual(len(set(digests)), len(digests), digests)

    def test_unequal_instruction_sets_are_refused(self):
        widest = self.trained("widest")
        if self.trained("lesser", env={"ONEDNN_MAX_CPU_ISA": LESSER}) == widest:
            self.skipTest(f"{LESSER} computes what this machine computes anyway")
        mixed = self.train("mixed", groups=[(1, {}), (1, {"ONEDNN_MAX_CPU_ISA": LESSER})])
        self.assertNotEqual(mixed.code, 0)
        self.assertEqual(len(mixed.errors), 1, mixed.text)
        for part in ("ranks would compute different bits", "rank 1 has", "mpirun -x ONEDNN_MAX_CPU_ISA"):
            self.assertIn(part, mixed.errors[0])
        self.assertFalse((self.folder / "mixed").exists())
        # and the remedy works
        capped = self.trained("capped", ranks=2, env={"ONEDNN_MAX_CPU_ISA": LESSER})
        self.assertEqual(capped, self.digest(self.folder / "lesser"))

    def test_resumed_at_another_number_of_ranks(self):
        sets = {"checkpoint.every_steps": 10}
        whole = self.trained("whole", ranks=2, sets=sets)
        for step in (10, 20, 30):
            for ranks in (None, 3, 4):
                with self.subTest(step=step, ranks=ranks):
                    copy = f"from{step}-{ranks}"
                    self.copy_until("whole", copy, step)
                    result = self.train(copy, "--resume", ranks=ranks, sets=sets)
                    self.assertEqual(result.code, 0, result.text)
                    self.assertIn(f"at step {step}", result.text)
                    self.assertEqual(self.digest(self.folder / copy), whole)
                    self.assert_each_step_once(copy, TINY["train.max_steps"])

    def log(self, run_dir, rank):
        return (self.folder / run_dir / "logs" / f"rank-{rank:04}.log").read_text()

    def redone(self, run_dir, rank):
        return [int(line.partition(" step ")[2].partition(":")[0])
                for line in self.log(run_dir, rank).splitlines() if line.endswith("redone with new exponents")]


if __name__ == "__main__":
    unittest.main()
