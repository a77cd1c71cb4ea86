"""Troubles of the machine under a run: a read-only run directory, a checkpoint folder that is deleted or turns read-only, a
clock that is set back, a lock whose owner was killed. Full disks: resume_test."""

import os
import subprocess
import sys
import unittest

from rondo_testing import TINY, RondoTest, Started, checkpoints, settings, wait_until, write_config

LAST = 2400
LONG = TINY | {"train.max_steps": LAST, "train.log_every": 100, "checkpoint.every_steps": 100, "checkpoint.keep": 100}
PRIVATE = "RONDO_TEST_PRIVATE_MOUNTS"  # set where mounts are this process's own


def mount(*arguments):
    """Tries again for a while: nothing turns read-only while a file is being written there."""
    wait_until(lambda: subprocess.run(["mount", *map(str, arguments)], stderr=subprocess.DEVNULL).returncode == 0,
               "mount " + " ".join(map(str, arguments)))


class TroublesTest(RondoTest):
    digest_of_whole = ""

    def setUp(self):
        super().setUp()
        self.config = write_config(self.folder / "tiny.toml", LONG)

    def started_run(self, name="run", ranks=2):
        """A run that has written two checkpoints and is far from its end."""
        started = self.start_training(name, ranks=ranks)
        wait_until(lambda: len(checkpoints(self.folder / name)) >= 2, "two checkpoints")
        return started

    def whole(self):
        if not TroublesTest.digest_of_whole:
            TroublesTest.digest_of_whole = self.trained("whole", ranks=2)
        return TroublesTest.digest_of_whole

    def assert_refused(self, result, *parts):
        self.assertEqual(result.code, 2, result.text)
        self.assertEqual(len(result.errors), 1, result.text)
        for part in parts:
            self.assertIn(part, result.errors[0])


@unittest.skipUnless(os.environ.get(PRIVATE), "only root can mount")
class ReadOnly(TroublesTest):
    def test_from_the_start(self):
        disk = self.folder / "disk"
        disk.mkdir()
        mount("-t", "tmpfs", "none", disk)
        self.addCleanup(subprocess.run, ["umount", disk], check=True)
        self.trained("disk/old", sets={"train.max_steps": 10})
        before = sorted(disk.rglob("*"))
        mount("-o", "remount,ro", disk)
        for ranks in (None, 3):
            with self.subTest(ranks=ranks):
                self.assert_refused(self.train("disk/new", ranks=ranks), "disk/new", "Read-only", "writable --run-dir")
                self.assert_refused(self.train("disk/old", "--resume", ranks=ranks), "disk/old", "Read-only", "writable --run-dir")
        launched = Started(["launch", "-n", 2, "--", "train", self.config, "--run-dir", disk / "new"]).result()
        self.assert_refused(launched, "disk/new", "Read-only")
        self.assertEqual(sorted(disk.rglob("*")), before)

    def test_checkpoints_in_mid_run(self):
        started = self.started_run()
        folder = self.folder / "run/checkpoints"
        mount("--bind", folder, folder)
        mount("-o", "remount,bind,ro", folder)
        result = started.result()
        self.assertNotEqual(result.code, 0)
        self.assertGreaterEqual(len(result.warnings), 1, result.text)
        self.assertEqual(len(result.errors), 1, result.text)
        for line in result.warnings + result.errors:
            self.assertRegex(line, r"/step-\d{8}\.h5: .*Read-only")
        self.assertIn("the last checkpoint was not written", result.errors[0])
        for path in checkpoints(self.folder / "run"):
            self.digest(path)
        subprocess.run(["umount", str(folder)], check=True)
        self.assertEqual(self.trained("run", "--resume"), self.whole())


class Deleted(TroublesTest):
    def test_checkpoint_folder(self):
        """It is made again: nothing that could be saved is lost."""
        started = self.started_run()
        os.rename(self.folder / "run/checkpoints", self.folder / "gone")
        result = started.result()
        self.assertEqual(result.code, 0, result.text)
        self.assertEqual(self.digest(self.folder / "run"), self.whole())

    def test_run_directory(self):
        """Somebody else may have it by now: it is not made again."""
        started = self.started_run()
        os.rename(self.folder / "run", self.folder / "gone")  # at once: a rank that writes meanwhile would spoil rmtree
        result = started.result()
        self.assertNotEqual(result.code, 0, result.text)
        self.assertEqual(len(result.errors), 1, result.text)
        self.assertIn("the last checkpoint was not written", result.errors[0])
        self.assertFalse((self.folder / "run").exists())


@unittest.skipUnless(os.environ.get("RONDO_SET_CLOCK_BACK"), "a sanitizer wants to be the first to be loaded")
class Clock(TroublesTest):
    env = {"LD_PRELOAD": os.environ.get("RONDO_SET_CLOCK_BACK", "")}

    def test_it_does_go_back(self):
        look = "import time\nseen = []\nfor _ in range(30):\n  seen.append(time.time()); time.sleep(0.01)\nprint(seen == sorted(seen))"
        out = subprocess.run([sys.executable, "-c", look], env=os.environ | self.env, capture_output=True, text=True)
        self.assertEqual(out.stdout, "False\n")

    def test_set_back(self):
        self.assertEqual(self.trained("run", ranks=2, env=self.env), self.whole())
        self.assertEqual([line["step"] for line in self.metrics("run") if "split" not in line],
                         list(range(100, LAST + 1, 100)))

    def test_set_back_under_launch(self):
        done = Started(["launch", "-n", 2, "--mpirun", "--oversubscribe --bind-to none", "--", "train", self.config, "--run-dir",
                        self.folder / "run", *settings({"recovery.watchdog_s": 1.0})],
                       env=self.env | {"RONDO_CHAOS": "rank=1,step=800,phase=forward,fault=kill"}).result()
        self.assertEqual(done.code, 0, done.text)
        self.assertEqual(len((self.folder / "run/attempts.jsonl").read_text().splitlines()), 2)
        self.assertEqual(self.digest(self.folder / "run"), self.whole())


class Lock(TroublesTest):
    def test_of_a_killed_run(self):
        self.started_run().kill()
        self.assertTrue((self.folder / "run/lock").exists())
        self.assertEqual(self.trained("run", "--resume", ranks=3), self.whole())


if __name__ == "__main__":
    own = ["unshare", "--mount", "--propagation", "private"]
    if PRIVATE not in os.environ and subprocess.run(own + ["true"], stderr=subprocess.DEVNULL).returncode == 0:
        os.environ[PRIVATE] = "1"
        os.execvp(own[0], own + [sys.executable, *sys.argv])
    unittest.main()
