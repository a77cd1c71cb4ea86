"""The batch scripts on a real Slurm of virtual nodes: whatever makes Slurm end a job, it is requeued and ends in the bits
of a run to which nothing happened. With mpirun and with srun. And benches."""

import sys
import unittest

from rondo_testing import PATIENCE, RONDO, SOURCE, TINY, RondoTest, checkpoints, write_config
from slurm_testing import Cluster, missing

# Many seconds of steps, whatever the build, so that each end comes in the midst of them.
RUN = {"train.max_steps": round(12000 / PATIENCE), "train.log_every": 1000, "checkpoint.every_steps": 500,
       "recovery.watchdog_s": 3.0}
SCRIPTS = ["train.sbatch", "train-srun.sbatch"]


class Slurm(RondoTest):
    whole = None  # digest of a run to which nothing happens

    def setUp(self):
        super().setUp()
        self.config = write_config(self.folder / "tiny.toml", TINY | RUN)
        self.cluster = Cluster(self.folder / "slurm", 3)
        self.addCleanup(self.cluster.stop)
        self.cluster.wait(self.cluster.up, "the nodes", 30)
        self.cluster.env |= {"OMPI_MCA_btl_tcp_if_include": "lo", "OMPI_MCA_oob_tcp_if_include": "lo", "RONDO": RONDO,
                             "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                             "MPIRUN_ARGS": "--bind-to none"}

    def submit(self, script):
        self.whole = self.whole or self.trained("whole", ranks=2)
        self.run_dir = self.folder / script
        self.output = self.folder / f"{script}.out"
        text = self.cluster.call("env", f"RUN_DIR={self.run_dir}", "sbatch", "--parsable", f"--chdir={SOURCE}",
                                 "--nodes=2", "--ntasks-per-node=1", f"--output={self.output}",
                                 SOURCE / "scripts/slurm" / script, self.config)
        self.number = text.strip()
        self.wait(lambda: len(checkpoints(self.run_dir)) > 0, "a checkpoint", 60)

    def wait(self, condition, what, deadline):
        def held():
            self.assertNotIn(self.field("JobState"), ("FAILED", "CANCELLED", "TIMEOUT"), self.tail())
            return condition()
        try:
            self.cluster.wait(held, what, deadline)
        except TimeoutError as e:
            raise AssertionError(f"{e}\n{self.tail()}") from None

    def text(self):
        return self.output.read_text() if self.output.exists() else ""

    def tail(self):
        return self.text()[-3000:]

    def field(self, name):
        return self.cluster.job(self.number)[name]

    def finished_after_a_requeue(self):
        self.wait(lambda: self.field("Restarts") == "1", "a requeue", 90)
        self.wait(self.completed, "the end", 90)
        self.assertEqual(self.digest(self.run_dir), self.whole)
        self.assertIn("resumed from", self.text())

    def completed(self):
        state = self.field("JobState")
        if state == "PENDING":  # Slurm waits two minutes before it starts one again
            self.cluster.call("sh", "-c", f"scontrol update jobid={self.number} StartTime=now || true")
        return state == "COMPLETED"

    def test_before_the_time_limit(self):
        for script in SCRIPTS:
            with self.subTest(script):
                self.submit(script)
                self.cluster.call("scancel", "--batch", "--signal=USR1", self.number)  # as --signal=B:USR1@120 does
                self.finished_after_a_requeue()
                self.assertIn("exit code 85: requeue 1 of at most 10", self.text())
                self.assertRegex(self.text(), r"stopped as asked at step \d+")

    def test_preemption(self):
        for script in SCRIPTS:
            with self.subTest(script):
                self.submit(script)
                other = self.cluster.call("sbatch", "--parsable", "--partition=high", "--nodes=3", "--exclusive",
                                          "--output=/dev/null", "--wrap", "sleep 1").strip()
                self.cluster.wait(lambda: self.cluster.job(other)["JobState"] == "COMPLETED", "the preempting job", 60)
                self.finished_after_a_requeue()

    def test_loss_of_a_node(self):
        for script in SCRIPTS:
            with self.subTest(script):
                self.submit(script)
                first = self.field("BatchHost")
                nodes = self.cluster.call("scontrol", "show", "hostnames", self.field("NodeList")).split()
                [lost] = [node for node in nodes if node != first]
                self.cluster.kill_node(lost)
                self.finished_after_a_requeue()
                self.assertNotIn(lost, self.cluster.call("scontrol", "show", "hostnames", self.field("NodeList")).split())
                self.cluster.start_node(lost)
                self.cluster.wait(self.cluster.up, "the node to come back", 30)

    def bench(self, layouts, code=0):
        """The array of all-reduces: outputs of its tasks, once all have ended."""
        results, count = self.folder / "results", len(layouts.split())
        text = self.cluster.call("env", f"RESULTS={results}", f"LAYOUTS={layouts}", "sbatch", "--parsable",
                                 f"--chdir={SOURCE}", f"--array=0-{count - 1}", "--nodes=2", "--ntasks-per-node=2",
                                 f"--output={self.folder}/%a.out", SOURCE / "scripts/slurm/bench-comm.sbatch",
                                 "--min", "4K", "--max", "16K", "--rounds", "3", "--algorithm", "ring").strip()

        def jobs():
            return [self.cluster.job(f"{text}_{task}") for task in range(count)]
        self.cluster.wait(lambda: all(job["JobState"] in ("COMPLETED", "FAILED") for job in jobs()), "the array", 90)
        outputs = [(self.folder / f"{task}.out").read_text() for task in range(count)]
        self.assertEqual({job["ExitCode"] for job in jobs()}, {f"{code}:0"}, "\n".join(outputs))
        return results, outputs

    def test_an_array_of_all_reduces_ends_in_one_table(self):
        results, _ = self.bench("1x1 1x2 2x1")
        rows = [line.split() for line in (results / "table.txt").read_text().splitlines()]
        self.assertEqual(rows[0][:4], ["nodes", "ranks", "bytes", "algorithm"])
        seen = {(nodes, ranks, size, algorithm) for nodes, ranks, size, algorithm, *_ in rows[1:]}
        self.assertEqual(seen, {(*where, size, algorithm) for where in (("1", "1"), ("1", "2"), ("2", "2"))
                                for size in ("4096", "16384") for algorithm in ("ring", "MPI_Allreduce")})
        self.assertEqual({row[-1] for row in rows[1:]}, {"0"})  # words that are wrong

    def test_an_array_without_a_layout_says_so(self):
        self.assertIn("has no NODESxRANKS there", self.bench("two", code=2)[1][0])
        self.assertIn("3x1 needs 3 nodes, the job has 2", self.bench("3x1", code=2)[1][0])


if __name__ == "__main__":
    if why := missing():
        print(f"skipped: {why}")
        sys.exit(77)
    unittest.main()
