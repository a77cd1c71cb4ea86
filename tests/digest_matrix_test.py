"""One digest for every way to sum: algorithm x bucket size x sharded optimizer x ranks, on one host and on two."""

import itertools
import unittest

from rondo_testing import RONDO, RondoTest, settings
from two_hosts import CANNOT, on_two_hosts

SHORT = {"train.max_steps": 6, "train.log_every": 6, "exchange.timeout_s": 20.0}
ALGORITHMS = ["shared", "ring", "hierarchical", "tree", "mpi"]
BUCKETS = [4096, 65536]


def way(algorithm, bucket, sharded):
    return SHORT | {"exchange.algorithm": algorithm, "exchange.bucket_bytes": bucket, "optimizer.sharded": sharded}


class DigestMatrix(RondoTest):
    def test_on_one_host(self):
        expected = self.trained("alone", sets=SHORT)
        cells = list(itertools.product(ALGORITHMS, BUCKETS, ["true", "false"], [2, 3]))
        cells += [(algorithm, 4096, "auto", 4) for algorithm in [*ALGORITHMS, "auto"]]
        self.assertGreaterEqual(len(cells), 46)
        for number, (algorithm, bucket, sharded, ranks) in enumerate(cells):
            with self.subTest(algorithm=algorithm, bucket=bucket, sharded=sharded, ranks=ranks):
                digest = self.trained(f"run{number}", ranks=ranks, sets=way(algorithm, bucket, sharded))
                self.assertEqual(digest, expected)

    def test_on_two_hosts(self):
        expected = self.trained("alone", sets=SHORT)
        cells = list(itertools.product(["ring", "hierarchical", "tree", "auto"], ["true", "false"], ["2", "4", "3,1"]))
        for number, (algorithm, sharded, ranks) in enumerate(cells):
            with self.subTest(algorithm=algorithm, sharded=sharded, ranks=ranks):
                run_dir = self.folder / f"two{number}"
                done = self.train_on_two_hosts(ranks, run_dir, way(algorithm, BUCKETS[number % 2], sharded))
                if done.code == CANNOT:
                    self.skipTest(done.text.strip())
                self.assertEqual(done.code, 0, done.text)
                self.assertEqual(self.digest(run_dir), expected)
                if algorithm == "auto":
                    self.assertRegex(done.text, r"exchange over (.* up to \d+ KiB, )*(tree|ring|hierarchical),")

    def train_on_two_hosts(self, ranks, run_dir, sets):
        return on_two_hosts(ranks, RONDO, "train", self.config, "--run-dir", run_dir, *settings(sets),
                            env={"XDG_CACHE_HOME": str(self.folder)})

    def test_other_data_have_another_digest(self):
        """The matrix can fail: what must change the weights does."""
        self.assertNotEqual(self.trained("one", sets=SHORT), self.trained("other", sets=SHORT | {"train.seed": 2}))

    def test_float32_differs_between_algorithms(self):
        """And summing in another order does change bits, unless the arithmetic is exact."""
        float32 = {"exchange.arithmetic": "float32"}
        digests = {self.trained(f"run{number}", ranks=4, sets=way(algorithm, 65536, "false") | float32)
                   for number, algorithm in enumerate(["ring", "tree"])}
        self.assertEqual(len(digests), 2)


if __name__ == "__main__":
    unittest.main()
