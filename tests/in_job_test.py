"""Recovery in the job, on Open MPI 5 under `mpirun --with-ft ulfm`: whichever rank dies, and whenever, the others go on to
the bits of a run to which nothing happened. Skipped (exit code 77) where MPI has no fault tolerance."""

import json
import sys
import unittest

from rondo_testing import ANY_CODE, RONDO, TINY, ULFM, RondoTest, has_ulfm, run, settings, write_config
from two_hosts import CANNOT, on_two_hosts

LOG_EVERY, STEPS = 20, 240
RUN = TINY | {"train.max_steps": STEPS, "train.log_every": LOG_EVERY, "train.eval_every": 60, "checkpoint.every_steps": 40,
              "recovery.watchdog_s": 1.0, "exchange.bucket_bytes": 16384}


class InJobTest(RondoTest):
    def setUp(self):
        super().setUp()
        self.config = write_config(self.folder / "tiny.toml", RUN)

    def survive(self, name, chaos, ranks=4, code=0, timeout=60, mpirun=ULFM, **sets):
        result = self.train(name, ranks=ranks, mpirun=mpirun, env={"RONDO_CHAOS": chaos}, sets=sets, timeout=timeout)
        self.assertEqual(result.code, code, result.text)
        self.assertEqual(self.digest(self.folder / name), self.whole())
        self.assertEqual(self.lines(name), self.lines("whole"))
        return result

    def whole(self):
        if not (self.folder / "whole").exists():
            self.assertEqual(self.train("whole").code, 0)
        return self.digest(self.folder / "whole")

    def lines(self, name):
        """Every line of the metrics, without times: none is missing, repeated or different, whoever wrote it."""
        return [{key: value for key, value in line.items() if not key.endswith("_s")} for line in self.metrics(name)]

    def losses(self, name):
        return json.loads(self.succeed("inspect", self.folder / name, "--json").text)["run"]["losses"]


class Deaths(InJobTest):
    def test_a_rank(self):
        result = self.survive("run", "rank=2,step=37,phase=backward,fault=kill")
        [line] = result.lines("rank 2 (")
        self.assertRegex(line, r"^rank 2 \(.+, pid \d+\) died in step 37.*; 3 rank\(s\) go on; step done again after 0\.\d+ s$")
        for rank in (0, 1, 3):
            self.assertIn(line.partition(" after ")[0], (self.folder / f"run/logs/rank-000{rank}.log").read_text())
        self.assertEqual(self.losses("run"), [{"rank": 2, "times": 1}])
        self.assertIn("the others went on", self.succeed("inspect", self.folder / "run").text)

    def test_rank_0_in_every_phase_of_its_own(self):
        """Metrics, checkpoints, lock and terminal move to the next rank."""
        for phase, step in (("evaluation", 120), ("checkpoint", 80), ("loading", 61), ("optimizer", 59), ("leaving", STEPS)):
            with self.subTest(phase):
                result = self.survive(phase, f"rank=0,step={step},phase={phase},fault=kill")
                self.assertIn(f"step {STEPS}/{STEPS}", result.text)
                last = run("inspect", self.folder / phase, "--json")
                self.assertEqual(json.loads(last.text)["run"]["checkpoints"][-1]["step"], STEPS)

    def test_all_but_one(self):
        self.survive("run", ";".join(f"rank={r},step={s},phase=forward,fault=segv" for r, s in ((0, 50), (1, 90), (3, 90))))

    def test_during_recovery(self):
        self.survive("run", "rank=1,step=50,phase=backward,fault=kill;rank=0,step=50,phase=recovery,fault=kill;"
                            "rank=3,step=50,phase=regrouping,fault=kill")

    def test_a_rank_that_leaves(self):
        """mpirun tells nobody of an exit code other than 0, and passes it on."""
        self.survive("run", "rank=1,step=50,phase=backward,fault=exit", code=3)

    def test_two_exits(self):
        """Of itself mpirun would end the job at the second."""
        chaos = "rank=2,step=50,phase=optimizer,fault=exit;rank=0,step=50,phase=exchange,fault=exit"
        self.survive("run", chaos, mpirun=ULFM + ANY_CODE)

    def test_by_messages(self):
        for algorithm in ("ring", "tree", "mpi"):
            with self.subTest(algorithm):
                self.survive(algorithm, "rank=1,step=50,phase=backward,bucket=2,fault=kill;"
                                        "rank=2,step=99,phase=control_word,fault=kill", **{"exchange.algorithm": algorithm})

    def test_a_choice_of_compression(self):
        """`auto` counts as what it resolves to."""
        chaos = "rank=1,step=50,phase=sharing,fault=kill;rank=0,step=99,phase=optimizer,fault=kill"
        self.survive("run", chaos, **{"exchange.compression": "auto"})

    def test_before_the_first_step_it_is_an_error(self):
        result = self.train("run", ranks=3, mpirun=ULFM, env={"RONDO_CHAOS": "rank=1,step=0,phase=starting,fault=kill"})
        self.assertNotEqual(result.code, 0)
        self.assertRegex(result.text, r"rondo: .*(died|lost|failed)")


class Spares(InJobTest):
    def test_a_spare_takes_over(self):
        """The second fault strikes only in backward, which a rank without micro-batches does not come through."""
        chaos = ";".join(f"rank={r},step={s},phase=backward,fault=kill" for r, s in ((3, 30), (1, 50), (3, 90)))
        result = self.survive("run", chaos, **{"recovery.spares": 1})
        self.assertRegex(result.text, r"rank 1 \(.+ died in step 50.*; spare rank 3 takes over from rank 1; 3 rank\(s\) go on;")
        self.assertRegex(result.text, r"rank 3 \(.+ died in step 90.*; 2 rank\(s\) go on;")
        self.assertEqual(self.losses("run"), [{"rank": 1, "times": 1}, {"rank": 3, "times": 1}])
        self.assertIn("spare rank 3 takes over from rank 1", self.succeed("inspect", self.folder / "run").text)

    def test_a_spare_that_dies(self):
        chaos = "rank=3,step=50,phase=optimizer,fault=kill;rank=2,step=90,phase=exchange,fault=kill"
        result = self.survive("run", chaos, ranks=5, **{"recovery.spares": 2})
        self.assertRegex(result.text, r"rank 3 \(.+; rank 3 was a spare; 4 rank\(s\) go on;")
        self.assertIn("spare rank 4 takes over from rank 2", result.text)

    def test_rank_0(self):
        chaos = "rank=0,step=80,phase=checkpoint,fault=kill;rank=1,step=120,phase=evaluation,fault=kill"
        result = self.survive("run", chaos, ranks=3, **{"recovery.spares": 1})
        self.assertIn("spare rank 2 takes over from rank 0", result.text)

    def test_more_deaths_than_spares(self):
        chaos = ";".join(f"rank={r},step=50,phase=forward,fault=kill" for r in (0, 1, 2))
        result = self.survive("run", chaos, ranks=5, **{"recovery.spares": 2})
        self.assertRegex(result.text, "2 rank\\(s\\) go on")


class Mirrors(InJobTest):
    """With a sharded optimizer on four ranks of one host 0 and 2 have the same slices, and 1 and 3."""

    def survive(self, name, *deaths, **sets):
        chaos = ";".join(f"rank={rank},step={step},phase={phase},fault=kill" for rank, step, phase in deaths)
        result = super().survive(name, chaos, **{"optimizer.sharded": "true"} | sets)
        self.assertIn("sharded optimizer with mirrors", result.text)
        self.assertEqual(self.losses(name), [{"rank": rank, "times": 1} for rank in sorted(death[0] for death in deaths)])
        return result

    def test_a_rank_in_each_phase(self):
        """Three deaths one after the other, each time with new slices and mirrors; the last rank has everything."""
        self.survive("run1", (2, 37, "forward"), (0, 60, "optimizer"), (3, 100, "sharing"))
        self.survive("run2", (1, 80, "checkpoint"), (3, 120, "evaluation,entry=3"), (0, 200, "checkpoint,entry=2"))

    def test_the_step_of_a_death_in_sharing_counts_once(self):
        """It has been applied, its line of the metrics and its checkpoint are still to come."""
        self.survive("run", (1, 39, "sharing"), (0, 59, "sharing"))

    def test_two_at_once(self):
        self.survive("run", (0, 50, "optimizer"), (1, 50, "optimizer"))

    def test_during_recovery(self):
        """Whatever part of the slices has been given out: who has them stays the same until all have all."""
        self.survive("run1", (1, 50, "backward"), (2, 50, "recovery"))
        self.survive("run2", (1, 50, "sharing"), (0, 51, "restoring"))
        self.survive("run3", (0, 50, "optimizer"), (3, 51, "restoring,entry=7"))

    def test_by_messages(self):
        self.survive("run", (1, 50, "sharing"), (0, 99, "optimizer"), **{"exchange.algorithm": "ring"})

    def test_both_copies(self):
        chaos = ";".join(f"rank={rank},step=100,phase=optimizer,fault=kill" for rank in (1, 3))
        result = self.train("run", ranks=4, mpirun=ULFM, env={"RONDO_CHAOS": chaos}, sets={"optimizer.sharded": "true"})
        self.assertNotEqual(result.code, 0, result.text)
        [line] = result.errors
        self.assertRegex(line, r"ranks 1 and 3 are lost, .* both copies of slices 1 and 3 \(of 4\).* --resume")
        again = self.train("run", "--resume", ranks=4, mpirun=ULFM, sets={"optimizer.sharded": "true"})
        self.assertEqual(again.code, 0, again.text)
        self.assertIn("resumed from", again.text)
        self.assertEqual(self.digest(self.folder / "run"), self.whole())


class Hangs(InJobTest):
    def test_hung(self):
        self.survive("run", "rank=1,step=50,phase=exchange,fault=hang")

    def test_hung_at_the_end(self):
        """While the others evaluate for the report."""
        self.survive("run", f"rank=0,step={STEPS},phase=leaving,fault=hang")

    def test_one_hangs_and_one_dies_at_the_end(self):
        self.survive("run", f"rank=0,step={STEPS},phase=leaving,fault=hang;rank=2,step={STEPS},phase=leaving,fault=kill")

    def test_stopped(self):
        self.survive("run", "rank=0,step=50,phase=backward,fault=stop")
        logs = [(self.folder / f"run/logs/rank-000{rank}.log").read_text() for rank in (1, 2, 3)]
        self.assertIn("gives no sign of life: killed", "".join(logs))  # whoever is the first to have waited too long

    def test_a_slow_rank_stays(self):
        result = self.survive("run", "rank=1,step=50,phase=backward,fault=slow")
        self.assertNotIn("go on", result.text)


class Hosts(InJobTest):
    """Two namespaced hosts with two ranks each; mpirun and its daemons go on."""

    def lose_host(self, name, chaos, *mpirun, **sets):
        result = on_two_hosts(4, *ULFM, *mpirun, "-x", "RONDO_CHAOS", RONDO, "train", self.config, "--run-dir", self.folder / name,
                              *settings(sets), env={"RONDO_CHAOS": chaos}, timeout=60)
        if result.code == CANNOT:
            self.skipTest(result.text.strip())
        self.assertEqual(result.code, 0, result.text)
        self.assertEqual(self.digest(self.folder / name), self.whole())
        self.assertEqual(self.lines(name), self.lines("whole"))
        return result.text

    def test_all_ranks_of_a_host_die(self):
        """Several times: a survivor must not be hit by what it still sends to them. libevent warns if a
        message was the first to find a broken connection: in about one of five launches, as long as it could."""
        for number, (a, b) in enumerate([(2, 3), (0, 1)] * 4):
            chaos = ";".join(f"rank={rank},step=50,phase=backward,fault=kill" for rank in (a, b))
            with self.subTest(chaos):
                text = self.lose_host(f"run{number}", chaos)
                self.assertNotIn("[warn] Epoll", text)
                self.assertRegex(text, rf"rank {a} \(host.+; rank {b} \(host.+; 2 rank\(s\) go on; step done again after \d\.")

    def test_mirrors_are_on_the_other_host(self):
        """0 and 2 are on one host here; by their numbers alone they would mirror each other."""
        chaos = ";".join(f"rank={rank},step=50,phase=optimizer,fault=kill" for rank in (0, 2))
        text = self.lose_host("run", chaos, "--map-by", "node", **{"optimizer.sharded": "true"})
        self.assertRegex(text, r"rank 0 \((\S+),.+; rank 2 \(\1,")

    def test_a_spare_of_the_other_host(self):
        text = self.lose_host("run", "rank=0,step=50,phase=exchange,fault=kill", **{"recovery.spares": 1})
        self.assertIn("spare rank 3 takes over from rank 0", text)


class Others(InJobTest):
    def test_stop_and_resume(self):
        self.whole()
        chaos = "rank=0,step=50,phase=backward,fault=kill"
        first = self.train("run", ranks=4, mpirun=ULFM, env={"RONDO_CHAOS": chaos})
        self.assertEqual(first.code, 0, first.text)
        again = self.train("run", "--resume", ranks=2)
        self.assertEqual(again.code, 0, again.text)
        self.assertEqual(self.digest(self.folder / "run"), self.whole())

    def test_doctor_says_whether_it_is_active(self):
        self.assertIn("start with mpirun --with-ft ulfm", run("doctor", ranks=2).text)
        self.assertIn("active", run("doctor", ranks=2, mpirun=ULFM).text)


if __name__ == "__main__":
    if not has_ulfm():
        print("skipped: this MPI has no fault tolerance (Open MPI 5 has)")
        sys.exit(77)
    unittest.main()
