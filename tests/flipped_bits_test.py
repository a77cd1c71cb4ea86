"""Bits that flip in one rank's memory while it trains: found, named, and undone. The run ends with the bytes of one in which
nothing flipped."""

import json
import json
import unittest

from rondo_testing import TINY, RondoTest, write_config

LOG_EVERY, STEPS, CHECK = 10, 160, 20
RUN = TINY | {"train.max_steps": STEPS, "train.log_every": LOG_EVERY, "train.eval_every": 50, "checkpoint.every_steps": 40,
              "checkpoint.keep": 100, "recovery.check_every": CHECK, "optimizer.sharded": "false"}


def flip(rank, step, array, bit=0, phase="loading"):
    return f"rank={rank},step={step},phase={phase},fault=flip,array={array},bit={bit}"


class AgreementTest(RondoTest):
    def setUp(self):
        super().setUp()
        self.config = write_config(self.folder / "tiny.toml", RUN)
        self.whole = self.trained("whole")

    def lines(self, name):
        return [{key: value for key, value in line.items() if not key.endswith("_s")} for line in self.metrics(name)]

    def undisturbed(self, name, *flips, ranks, sets=None):
        """The warnings of a run in which these bits flip."""
        result = self.train(name, ranks=ranks, env={"RONDO_CHAOS": ";".join(flips)}, sets=sets)
        self.assertEqual(result.code, 0, result.text)
        self.assertEqual(self.digest(self.folder / name), self.whole)
        self.assertEqual(self.lines(name), self.lines("whole"))
        for step in range(40, STEPS + 1, 40):  # no checkpoint has ever held what was wrong
            file = f"checkpoints/step-{step:08}.h5"
            self.assertEqual(self.digest(self.folder / name / file), self.digest(self.folder / "whole" / file))
        return result.warnings

    def test_three_ranks_name_the_one(self):
        [warning] = self.undisturbed("run", flip(1, 33, "parameters/", 3, "backward"), ranks=3)
        self.assertRegex(warning, r"step 40: .*rank 1 \(.+\) differs from the majority in parameters/.* went back to step 20")
        run = json.loads(self.succeed("inspect", self.folder / "run", "--json").text)["run"]
        self.assertTrue(0 < run["checking_s"] < run["elapsed_s"] and 0 < run["checkpoints_s"] < run["elapsed_s"], run)
        text = self.succeed("inspect", self.folder / "run").text
        self.assertIn("training stood still for", text)
        self.assertIn("rank 1", text.partition("memory has changed")[2])

    def test_two_ranks_go_back_without_a_name(self):
        [warning] = self.undisturbed("run", flip(0, 77, "optimizer/mean", 5), ranks=2)
        self.assertRegex(warning, r"step 80: .* no majority can tell who is wrong; all went back to step 60")

    def test_at_any_time(self):
        """A bit that rounding would make whole again; in the last step; after the last update; that makes infinities."""
        cases = {"healed": (flip(1, 61, "optimizer/mean", 0), 80), "last": (flip(2, STEPS - 1, "parameters/"), STEPS),
                 "sharing": (flip(0, STEPS - 1, "optimizer/square", 9, "sharing"), STEPS),
                 "infinite": (flip(1, 90, "optimizer/square", 31), 91)}  # a root of something negative
        for name, (what, found) in cases.items():
            with self.subTest(name):
                [warning] = self.undisturbed(name, what, ranks=3)
                self.assertIn(f"step {found}: ", warning)

    def test_on_repeat_a_rank_has_to_go(self):
        flips = flip(2, 33, "parameters/"), flip(2, 93, "optimizer/square")
        result = self.train("run", ranks=3, env={"RONDO_CHAOS": ";".join(flips)})
        self.assertNotEqual(result.code, 0)
        self.assertIn("rank 2: this rank differed from the majority 2 times", result.text)
        self.assertEqual(self.trained("run", "--resume", ranks=2), self.whole)

    def test_in_gradients_that_are_about_to_be_summed(self):
        """The checksum of their bucket names step, bucket and rank, and the step's micro-batches are run again."""
        # A bucket is a block. Layers become ready as a whole, the last one first.
        for array, ready, bucket in (("layer2.linear.weight", 1, 0), ("layer0.linear.weight", 7, 6)):
            for algorithm in ("shared", "ring", "hierarchical", "tree", "mpi"):
                with self.subTest(algorithm=algorithm, array=array):
                    what = flip(0, 33, f"gradients/{array}", 77, "backward") + f",bucket={ready}"
                    [warning] = self.undisturbed(f"{algorithm}{bucket}", what, ranks=2, sets={
                        "exchange.algorithm": algorithm, "exchange.bucket_bytes": 4096})
                    who = "0" if algorithm == "shared" else r"\d"  # else whoever received it
                    self.assertRegex(warning, rf"step 34: bucket {bucket}, rank {who}: wrong sums \(checksum\).*again")

    def test_off(self):
        """Then nothing is found: what the others show is not chance."""
        result = self.train("run", ranks=2, env={"RONDO_CHAOS": flip(1, 33, "parameters/", 20)}, sets={"recovery.check_every": 0})
        self.assertEqual((result.code, result.warnings), (0, []), result.text)
        self.assertNotEqual(self.digest(self.folder / "run"), self.whole)


if __name__ == "__main__":
    unittest.main()
