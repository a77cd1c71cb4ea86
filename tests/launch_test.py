"""`rondo launch` and the watchdog: whatever happens to ranks, the run ends, and in the bits of a run to which nothing
happened."""

import json
import os
import re
import shlex
import signal
import time
import unittest

from rondo_testing import (RONDO, STOPPED, TINY, ULFM, RondoTest, Started, checkpoints, has_ulfm, members, rank_processes,
                           settings, wait_until, write_config)
from two_hosts import CANNOT, lose_second_host, on_two_hosts

RUN = {"train.max_steps": 1500, "train.log_every": 100, "checkpoint.every_steps": 50, "recovery.watchdog_s": 1.0}


class LaunchTest(RondoTest):
    def setUp(self):
        super().setUp()
        self.config = write_config(self.folder / "tiny.toml", TINY | RUN)
        self.run_dir = self.folder / "run"

    mpirun = ["--oversubscribe", "--bind-to", "none"]

    def start(self, *flags, ranks=2, chaos="", sets=None, resume=False, env=None):
        env = (env or {}) | ({"RONDO_CHAOS": chaos} if chaos else {})
        self.started.append(Started(
            ["launch", "-n", ranks, "--mpirun", " ".join(self.mpirun), *flags, "--", "train", self.config,
             "--run-dir", self.run_dir, *(["--resume"] if resume else []), *settings(sets or {})], env=env))
        return self.started[-1]

    def launch(self, *flags, timeout=60, **options):
        return self.start(*flags, **options).result(timeout)

    def whole(self):
        return self.trained("whole", ranks=2)

    def attempts(self):
        return [json.loads(line) for line in (self.run_dir / "attempts.jsonl").read_text().splitlines()]

    def ranks_of(self, started):
        """The ranks of a launch by rank: their mpirun has a session of its own."""
        for pid in members_of_parent(started.process.pid):
            ranks = rank_processes(os.getsid(pid))
            if ranks:
                return ranks
        return {}


def members_of_parent(parent):
    try:
        with open(f"/proc/{parent}/task/{parent}/children") as f:
            return [int(pid) for pid in f.read().split()]
    except OSError:
        return []


class Survives(LaunchTest):
    def test_without_a_failure(self):
        result = self.launch()
        self.assertEqual(result.code, 0, result.text)
        self.assertNotIn("restart", result.text)
        self.assertEqual(self.digest(self.run_dir), self.whole())
        [only] = self.attempts()
        self.assertEqual((only["from_step"], only["lost"], only["what"]), (0, [], "trained"))

    def test_death_of_a_rank(self):
        result = self.launch(chaos="rank=1,step=730,phase=backward,fault=kill")
        self.assertEqual(result.code, 0, result.text)
        self.assertEqual(self.digest(self.run_dir), self.whole())
        first, second = self.attempts()
        self.assertEqual(first["lost"], [1])
        self.assertIn("died without a word", first["what"])
        self.assertIn(second["from_step"], (650, 700))  # the checkpoint of 700 may not have been written yet
        self.assertTrue(0 < second["outage_s"] < 3, second)
        self.assertIn("trained after 1 restart(s)", result.text)
        self.assert_each_step_once_of(1500)
        out = json.loads(self.succeed("inspect", self.run_dir, "--json").text)["run"]
        self.assertEqual(out["losses"], [{"rank": 1, "times": 1}])
        self.assertEqual(len(out["attempts"]), 2)
        self.assertEqual(out["checkpoints"][-1]["step"], 1500)
        self.assertIn("rank 1 was lost 1 time(s)", self.succeed("inspect", self.run_dir).text)

    def assert_each_step_once_of(self, last):
        seen = [line["step"] for line in self.metrics("run") if "split" not in line]
        self.assertEqual(seen, list(range(100, last + 1, 100)))

    def test_a_hang_is_named_with_its_stack(self):
        result = self.launch(chaos="rank=0,step=730,phase=forward,fault=hang")
        self.assertEqual(result.code, 0, result.text)
        self.assertEqual(self.digest(self.run_dir), self.whole())
        self.assertEqual(self.attempts()[0]["lost"], [0])
        log = (self.run_dir / "logs/rank-0000.log").read_text()
        self.assertRegex(log, r"watchdog: rank 0 \(.*, pid \d+\) has made no progress for 1\.\d s in step 730, forward")
        self.assertRegex(log, r"rondo\(_ZN5rondo7Trainer4step")
        other = (self.run_dir / "logs/rank-0001.log").read_text()
        self.assertRegex(other, r"waiting for rank 0 \(.*\) in step 730, forward")

    def test_a_stopped_rank_that_goes_on_later_writes_nothing(self):
        started = self.start(chaos="rank=0,step=730,phase=backward,fault=stop")
        wait_until(lambda: self.stopped(started), "rank 0 to stop", 20)
        victim = self.stopped(started)
        wait_until(lambda: len(self.attempts_so_far()) == 1, "launch to give it up", 20)
        self.assertIn(self.state(victim), (None, "Z"))  # it is dead before the next job starts
        result = started.result()
        self.assertEqual(result.code, 0, result.text)
        self.assertEqual(self.digest(self.run_dir), self.whole())
        self.assertIn("no sign of life", self.attempts()[0]["what"])

    def attempts_so_far(self):
        return self.attempts() if (self.run_dir / "attempts.jsonl").exists() else []

    def stopped(self, started):
        for pid in self.ranks_of(started).values():
            if self.state(pid) == "T":
                return pid
        return None

    def state(self, pid):
        try:
            with open(f"/proc/{pid}/stat") as f:
                return f.read().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return None

    def test_exit_code_0_is_not_taken_for_the_end(self):
        """The mpirun of Open MPI 5 may end so when it loses a daemon."""
        mpirun = self.folder / "mpirun"
        mpirun.write_text(f"""#!/bin/sh
            [ -e {self.folder}/early ] && exec {os.environ["RONDO_MPIRUN"]} "$@"
            touch {self.folder}/early
            {os.environ["RONDO_MPIRUN"]} "$@" &
            until ls {self.run_dir}/checkpoints/step-*.h5 >/dev/null 2>&1; do sleep 0.01; done""")
        mpirun.chmod(0o755)
        result = self.launch(env={"RONDO_MPIRUN": str(mpirun)})
        self.assertEqual(result.code, 0, result.text)
        self.assertEqual(self.digest(self.run_dir), self.whole())
        self.assertEqual([a["what"] for a in self.attempts()], ["mpirun ended with exit code 0", "trained"])

    def test_on_fewer_ranks(self):
        """What fails again at the same checkpoint is tried on what is left."""
        chaos = ";".join(f"rank=2,step=730,phase=backward,fault=kill,attempt={n}" for n in range(5))
        result = self.launch("--min-ranks", 2, ranks=3, chaos=chaos)
        self.assertEqual(result.code, 0, result.text)
        self.assertEqual(self.digest(self.run_dir), self.whole())
        self.assertEqual([a["ranks"] for a in self.attempts()][-1], 2)
        self.assertEqual(self.attempts()[0]["ranks"], 3)

    def test_gives_up_with_an_account(self):
        result = self.launch(chaos="rank=1,step=130,phase=optimizer,fault=segv,attempt=-1")
        self.assertEqual(result.code, 70, result.text)
        [error] = [line for line in result.errors if "launch" in line]
        self.assertRegex(error, r"4 attempts in a row got no further than step 130; look at .*/logs")
        self.assertEqual(result.text.count("crashed: Segmentation fault"), 2 * len(self.attempts()))  # told, and in the table
        self.assertIn("waiting 4 s", result.text)
        restarts = self.launch("--max-restarts", 0, chaos="rank=1,step=130,phase=optimizer,fault=exit", resume=True)
        self.assertEqual(restarts.code, 70, restarts.text)
        self.assertIn("--max-restarts", restarts.text)
        self.assertEqual(self.launch(resume=True).code, 0)
        self.assertEqual(self.digest(self.run_dir), self.whole())


class InJob(LaunchTest):
    """Of a job that survives losses itself launch keeps its hands off."""
    mpirun = LaunchTest.mpirun + ULFM

    @classmethod
    def setUpClass(cls):
        if not has_ulfm():
            raise unittest.SkipTest("this MPI has no fault tolerance (Open MPI 5 has)")

    def assert_survived(self, result, rank):
        self.assertEqual(result.code, 0, result.text)
        self.assertNotIn("restart", result.text)
        self.assertEqual(self.digest(self.run_dir), self.whole())
        loss, job = self.attempts()
        self.assertEqual((loss["lost"], job["lost"], job["what"]), ([rank], [], "trained"))
        self.assertRegex(loss["what"], rf"rank {rank} \(.*; the others went on")

    def test_a_rank_is_killed(self):
        started = self.start(ranks=3)
        wait_until(lambda: checkpoints(self.run_dir), "a checkpoint")
        os.kill(self.ranks_of(started)[0], signal.SIGKILL)
        self.assert_survived(started.result(), 0)

    def test_a_rank_stops(self):
        self.assert_survived(self.launch(ranks=3, chaos="rank=1,step=730,phase=backward,fault=stop"), 1)

    def test_all_ranks_are_killed(self):
        chaos = ";".join(f"rank={rank},step=730,phase=backward,fault=kill" for rank in range(3))
        result = self.launch(ranks=3, chaos=chaos)
        self.assertEqual(result.code, 0, result.text)
        self.assertEqual(self.digest(self.run_dir), self.whole())
        self.assertIn("trained after 1 restart(s)", result.text)
        *_, first, second = self.attempts()
        self.assertIn("died without a word", first["what"])
        self.assertIn(second["from_step"], (650, 700))


class LostHost(LaunchTest):
    """A host of two is gone with its daemon; mpirun, which cannot go on without that, may end with any exit code."""

    def lose(self, ranks, silently, mpirun, digest):
        run_dir = self.folder / "-".join(["run", str(ranks), *mpirun])

        def lose(job):
            wait_until(lambda: checkpoints(run_dir), "a checkpoint")
            lose_second_host(job, silently)
        flags, train = shlex.join(["--bind-to", "none", *mpirun]), shlex.join([self.config, "--run-dir", str(run_dir)])
        command = f"{RONDO} launch -n 4 --min-ranks 2 --mpirun '{flags}' --hosts $TWO_HOSTS_FILE -- train {train}"
        result = on_two_hosts(4, "sh", "-c", command, flags=["--no-mpirun"], timeout=100, meanwhile=lose)
        self.assertEqual(result.code, 0, result.text)
        self.assertEqual(self.digest(run_dir), digest)
        attempts = [json.loads(line) for line in (run_dir / "attempts.jsonl").read_text().splitlines()]
        self.assertEqual(attempts[-1]["ranks"], ranks, result.text)  # before: launch's account, maybe the survivors', too
        self.assertEqual(result.text.count("launch: restart"), 1)
        self.assertEqual("host 10.77.0.2 does not answer" in result.text, silently)

    def test_a_host_is_lost(self):
        """It is back at once, or does not answer any more."""
        can = on_two_hosts(2, "true")
        if can.code == CANNOT:
            self.skipTest(can.text.strip())
        digest = self.whole()
        for mpirun in [[], ULFM] if has_ulfm() else [[]]:
            for ranks, silently in ((4, False), (2, True)):
                with self.subTest(mpirun=mpirun, silently=silently):
                    self.lose(ranks, silently, mpirun, digest)


class Signals(LaunchTest):
    def test_checkpoint_and_stop(self):
        long = {"train.max_steps": 10_000_000, "checkpoint.every_steps": 0}
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number.name):
                self.run_dir = self.folder / number.name
                started = self.start(sets=long)
                self.wait_for_start(number.name)
                time.sleep(0.3)
                os.kill(started.process.pid, signal.SIGUSR1)
                wait_until(lambda: checkpoints(self.run_dir), "a checkpoint")
                os.kill(started.process.pid, number)
                stopped = started.result()
                self.assertEqual(stopped.code, STOPPED, stopped.text)
                self.assertNotIn("restart", stopped.text)
                step = int(re.search(r"stopped as asked at step (\d+)", stopped.text)[1])
                self.assertEqual(checkpoints(self.run_dir)[-1].stem, f"step-{step:08}")
                self.assertEqual(len(checkpoints(self.run_dir)), 2)
                self.assertEqual(self.attempts()[-1]["what"], "stopped as asked")

    def test_when_launch_dies_its_job_ends(self):
        started = self.start(sets={"train.max_steps": 10_000_000})
        self.wait_for_start("run")
        ranks = self.ranks_of(started)
        self.assertEqual(sorted(ranks), [0, 1])
        os.kill(started.process.pid, signal.SIGKILL)
        wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in ranks.values()), "ranks to end", 20)
        started.result()

    def test_a_run_is_not_disturbed(self):
        self.started.append(Started(["train", self.config, "--run-dir", self.run_dir,
                                     *settings({"train.max_steps": 10_000_000})]))
        self.wait_for_start("run")
        for resume in (False, True):
            refused = self.launch(resume=resume)
            self.assertEqual(refused.code, 2, refused.text)
            self.assertEqual(len(refused.errors), 1, refused.text)
            self.assertIn("another run is writing here", refused.errors[0])
        self.assertIsNone(self.started[0].process.poll())
        self.assertFalse((self.run_dir / "attempts.jsonl").exists())

    def test_what_no_restart_mends(self):
        self.assertEqual(self.launch().code, 0)
        again = self.launch()
        self.assertEqual(again.code, 2, again.text)
        self.assertIn("add --resume", again.text)
        self.assertNotIn("restart", again.text)


class WithoutLaunch(LaunchTest):
    def test_a_hang_ends_the_job(self):
        for fault in ("hang", "stop"):
            with self.subTest(fault):
                result = self.train(fault, ranks=2, env={"RONDO_CHAOS": f"rank=1,step=730,phase=backward,fault={fault}"},
                                    timeout=20)
                self.assertNotEqual(result.code, 0)
                self.assertRegex(result.text, r"rondo: watchdog: rank 1 \(")
                self.assertEqual(self.trained(fault, "--resume"), self.whole_once())

    def whole_once(self):
        if not (self.folder / "whole").exists():
            self.whole()
        return self.digest(self.folder / "whole")

    def test_a_slow_rank_is_no_dead_one(self):
        result = self.train("run", ranks=2, env={"RONDO_CHAOS": "rank=1,step=730,phase=backward,fault=slow"})
        self.assertEqual(result.code, 0, result.text)
        self.assertEqual(self.digest(self.run_dir), self.whole())


if __name__ == "__main__":
    unittest.main()
