"""The batch scripts on a real Slurm of virtual nodes: whatever makes Slurm end a job, it is requeued and ends in the bits
of a run to which nothing happened. With mpirun and with srun."""

import sys
import unittest

from rondo_testing import RONDO, SOURCE, TINY, RondoTest, checkpoints, write_config
from slurm_testing import Cluster, missing

RUN = {"train.max_steps": 12000, "train.log_every": 1000, "checkpoint.every_steps": 500, "recovery.watchdog_s": 3.0}
SCRIPTS = ["train.sbatch", "train-srun.sbatch"]


class Slurm(RondoTest):
    def setUp(self):
        super().setUp()
        self.config = write_config(self.folder / "tiny.toml", TINY | RUN)
        self.cluster = Cluster(self.folder / "slurm", 3)
        self.addCleanup(self.cluster.stop)
        self.cluster.wait(self.cluster.up, "the nodes", 30)
        self.cluster.env |= {"OMPI_MCA_btl_tcp_if_include": "lo", "OMPI_MCA_oob_tcp_if_include": "lo", "RONDO": RONDO,
                             "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                             "MPIRUN_ARGS": "--bind-to none"}
        self.whole = self.trained("whole", ranks=2)

    def submit(self, script):
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

    def tail(self):
        return self.output.read_text()[-3000:] if self.output.exists() else ""

    def field(self, name):
        return self.cluster.job(self.number)[name]

    def finished_after_a_requeue(self):
        self.wait(lambda: self.field("Restarts") == "1", "a requeue", 90)
        self.wait(self.completed, "the end", 90)
        self.assertEqual(self.digest(self.run_dir), self.whole)
        self.assertIn("resumed from", self.tail())

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
                self.assertIn("exit code 85: requeue 1 of at most 10", self.tail())
                self.assertRegex(self.tail(), r"stopped as asked at step \d+")

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


if __name__ == "__main__":
    if why := missing():
        print(f"skipped: {why}")
        sys.exit(77)
    unittest.main()
