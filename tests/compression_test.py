"""Compressed gradients: one digest however many ranks there are and however they sum, also after a restart."""

import itertools
import json
import unittest

import h5py
import numpy

from rondo_testing import PATIENCE, RONDO, RondoTest, checkpoints, settings
from two_hosts import CANNOT, on_two_hosts

KINDS = ["int16", "int8", "topk", "powersgd"]
SLOW_LINK = f"{200 / PATIENCE:.0f}mbit"  # as much slower as the computing
SHORT = {"train.max_steps": 12, "train.log_every": 12, "exchange.timeout_s": 20.0}


class OneDigest(RondoTest):
    def test_matrix(self):
        expected = {kind: self.trained(kind, sets=SHORT | {"exchange.compression": kind}) for kind in KINDS}
        self.assertEqual(len({*expected.values(), self.trained("none", sets=SHORT)}), len(KINDS) + 1)
        cells = [("int8", *cell) for cell in
                 itertools.product(["shared", "ring", "hierarchical", "tree", "mpi"], [4096, 65536], [2, 3, 4])]
        cells += [(kind, algorithm, 4096, ranks) for kind in ("int16", "topk", "powersgd") for algorithm, ranks in
                  (("shared", 2), ("ring", 3), ("tree", 4))]
        for number, (kind, algorithm, bucket, ranks) in enumerate(cells):
            with self.subTest(kind=kind, algorithm=algorithm, bucket=bucket, ranks=ranks):
                sets = SHORT | {"exchange.compression": kind, "exchange.algorithm": algorithm,
                                "exchange.bucket_bytes": bucket}
                self.assertEqual(self.trained(f"run{number}", ranks=ranks, sets=sets), expected[kind])

    def test_lanes_of_several_micro_batches(self):
        sets = SHORT | {"exchange.compression": "int8", "exchange.lanes": 2}
        self.assertEqual(self.trained("one", sets=sets), self.trained("two", ranks=2, sets=sets))
        self.assertNotEqual(self.digest(self.folder / "one"),
                            self.trained("four", sets=sets | {"exchange.lanes": 4}))

    def test_a_slow_rank_hands_lanes_on_with_what_remains(self):
        sets = {"train.micro_batches": 16, "exchange.compression": "int8", "train.max_steps": 40}
        slow = {"RONDO_CHAOS": ";".join(f"rank=1,step={step},phase=backward,fault=slow" for step in (2, 12))}
        result = self.train("slow", ranks=2, sets=sets, env=slow)
        self.assertEqual(result.code, 0, result.text)
        self.assertIn("balance: 8 8 ->", result.text)
        self.assertEqual(self.digest(self.folder / "slow"), self.trained("alone", sets=sets))


class Resumed(RondoTest):
    def test_on_other_ranks(self):
        for kind in KINDS:
            sets = {"exchange.compression": kind, "checkpoint.every_steps": 7}  # 21 is odd, as powersgd's turn then
            whole = self.trained(f"whole-{kind}", ranks=2, sets=sets)
            with h5py.File(checkpoints(self.folder / f"whole-{kind}")[1]) as f:
                names = []
                f.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
                kept = [name for name in names if "exchange/lane" in name]
                for lane in range(4):
                    self.assertTrue(any(numpy.any(f[name][:]) for name in kept if f"lane{lane}/" in name), kind)
            for ranks in (1, 3, 4):
                with self.subTest(kind=kind, ranks=ranks):
                    self.copy_until(f"whole-{kind}", f"{kind}{ranks}", 21)
                    self.assertEqual(self.trained(f"{kind}{ranks}", "--resume", ranks=ranks, sets=sets), whole)


class Auto(RondoTest):
    def resolved(self, name):
        text = (self.folder / name / "config.toml").read_text()
        return next(line for line in text.splitlines() if line.startswith("compression"))

    def test_off_where_ranks_share_memory(self):
        plain = self.trained("plain", sets=SHORT)
        for ranks in (1, 2):
            result = self.train(f"auto{ranks}", ranks=ranks, sets=SHORT | {"exchange.compression": "auto"})
            self.assertIn('exchange.compression = "none": ', result.text)
            self.assertIn("none", self.resolved(f"auto{ranks}"))
            self.assertEqual(self.digest(self.folder / f"auto{ranks}"), plain)

    def test_on_between_hosts_with_a_slow_link_and_kept(self):
        sets = SHORT | {"exchange.compression": "auto", "model.layers": ["linear 256 gelu", "linear 256 gelu"],
                        "checkpoint.every_steps": 6}
        run_dir = self.folder / "two"
        done = on_two_hosts(2, RONDO, "train", self.config, "--run-dir", run_dir, *settings(sets), rate=SLOW_LINK,
                            env={"XDG_CACHE_HOME": str(self.folder)})
        if done.code == CANNOT:
            self.skipTest(done.text.strip())
        self.assertEqual(done.code, 0, done.text)
        self.assertRegex(done.text, r'exchange.compression = "int8": a step takes .* ms with int8 and .* with none')
        self.assertIn("int8", self.resolved("two"))
        # The trial leaves no trace, and a single host, where auto would say none, keeps the decision.
        self.assertEqual(self.digest(run_dir), self.trained("alone", sets=sets | {"exchange.compression": "int8"}))
        self.copy_until("two", "again", 6)
        self.assertEqual(self.trained("again", "--resume", sets=sets), self.digest(run_dir))

    def test_the_bench_tells_the_decision_and_the_truth(self):
        out = self.folder / "truth.json"
        sets = settings({"model.layers": ["linear 256 gelu", "linear 256 gelu"]})
        done = on_two_hosts(2, RONDO, "bench", "compression", self.config, "--seconds", 1, "--json", out, *sets,
                            rate=SLOW_LINK, env={"XDG_CACHE_HOME": str(self.folder)})
        if done.code == CANNOT:
            self.skipTest(done.text.strip())
        self.assertEqual(done.code, 0, done.text)
        truth = json.loads(out.read_text())
        self.assertEqual(truth["choice"], "int8")
        self.assertLess(truth["int8_us"], truth["none_us"])
        self.assertLess(truth["step_ratio"]["median"], 0.9)
        self.assertGreaterEqual(truth["turns"], 3)


class Refused(RondoTest):
    def test_in_one_line(self):
        for sets, ranks, part in (({"exchange.compression": "int7"}, None, "exchange.compression"),
                                  ({"exchange.compressoin": "int8"}, None, "exchange.compression"),
                                  ({"exchange.compression": "int8", "exchange.lanes": 3}, None, "must divide"),
                                  ({"exchange.compression": "int8", "exchange.lanes": 2}, 3, "2 lanes"),
                                  ({"exchange.compression": "int8", "exchange.arithmetic": "float32"}, None, "exact")):
            with self.subTest(sets=sets):
                result = self.train(f"run{len(part)}{ranks}", sets=sets, ranks=ranks)
                self.assertNotEqual(result.code, 0)
                self.assertEqual(len(result.errors), 1, result.text)
                self.assertIn(part, result.errors[0])


if __name__ == "__main__":
    unittest.main()
