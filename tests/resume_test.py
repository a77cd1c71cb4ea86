"""A run that was killed, ran out of disk or lost its newest checkpoint ends in the same bits when resumed."""

import os
import random
import resource
import shutil
import subprocess
import time
import unittest

import h5py

from rondo_testing import TINY, RondoTest, checkpoints, run, wait_until

KILLS = 20
LAST = TINY["train.max_steps"]
EVERY_10 = {"checkpoint.every_steps": 10}


class Killed(RondoTest):
    def test_kill_9_at_any_moment(self):
        steps = 200
        sets = {"train.max_steps": steps, "checkpoint.every_steps": 1, "checkpoint.keep": 1000}
        begin = time.monotonic()
        first = self.start_training("whole", ranks=2, sets=sets)
        wait_until(lambda: checkpoints(self.folder / "whole"), "a checkpoint")
        start_up = time.monotonic() - begin
        self.assertEqual(first.result().code, 0)
        whole = self.digest(self.folder / "whole")
        self.assert_each_step_once("whole", steps)

        chance = random.Random(20)
        found = {"nothing": 0, "checkpoints": 0, "all": 0, "half-written": 0}
        for i in range(KILLS):
            name = f"killed{i}"
            folder = self.folder / name
            after = chance.randrange(1, steps) if i % 4 else 0  # checkpoints; a quarter hits the start
            moment = chance.uniform(0, 0.005 if after else start_up)
            with self.subTest(after=after, moment=moment):
                victim = self.start_training(name, ranks=2 + i % 2, sets=sets)
                wait_until(lambda: not after or (folder / f"checkpoints/step-{after:08}.h5").exists()
                           or victim.process.poll() is not None, f"checkpoint {after}")
                time.sleep(moment)
                victim.kill()
                done = checkpoints(folder)
                found["all" if done and done[-1].stem == f"step-{steps:08}" else "checkpoints" if done else "nothing"] += 1
                found["half-written"] += bool(self.temporary_files(name))

                self.assertEqual(self.trained(name, "--resume", ranks=1 + i % 3, sets=sets), whole)
                self.assert_each_step_once(name, steps)
                self.assertEqual(self.temporary_files(name), [])
                shutil.rmtree(folder)
        print(f"found after {KILLS} kills: {found}")
        self.assertGreaterEqual(found["checkpoints"], KILLS // 4, "too few kills hit the training")
        self.assertGreaterEqual(found["nothing"], 1, "no kill hit the start")

    def temporary_files(self, run_dir):
        return [str(path) for path in (self.folder / run_dir).rglob(".*") if ".tmp-" in path.name]


class Damaged(RondoTest):
    def setUp(self):
        super().setUp()
        self.whole = self.trained("whole", sets=EVERY_10)

    def resume_after(self, damage, name):
        """Damages the newest checkpoint of a copy and resumes: one warning names it, the bits are the same."""
        shutil.copytree(self.folder / "whole", self.folder / name)
        newest = checkpoints(self.folder / name)[-1]
        damage(newest)
        result = self.train(name, "--resume", sets=EVERY_10)
        self.assertEqual(result.code, 0, result.text)
        self.assertEqual(len(result.warnings), 1, result.text)
        self.assertIn(newest.name, result.warnings[0])
        self.assertIn(f"resumed from {checkpoints(self.folder / name)[-2]} at step 30", result.text)
        self.assertEqual(self.digest(self.folder / name), self.whole)
        self.assert_each_step_once(name)
        return result.warnings[0]

    def test_truncated(self):
        for size in (0, 100, 600, 100_000, -1):
            with self.subTest(size=size):
                self.resume_after(lambda path: os.truncate(path, size if size >= 0 else path.stat().st_size - 1),
                                  f"run{size}")

    def test_one_byte_flipped(self):
        for place in (3, 30, 700, 0.3, 0.6, 0.999):
            def flip(path):
                data = bytearray(path.read_bytes())
                data[place if place >= 1 else int(place * len(data))] ^= 0x10
                path.write_bytes(data)
            with self.subTest(place=place):
                self.resume_after(flip, f"run{place}")

    def test_another_format_version(self):
        def change(path):
            with h5py.File(path, "r+") as f:
                f.attrs["format_version"] = 99
        self.resume_after(change, "run")

    def test_not_a_checkpoint(self):
        def replace(path):
            path.unlink()
            with h5py.File(path, "w") as f:
                f["something"] = [1, 2, 3]
        self.assertIn("Rondo checkpoint", self.resume_after(replace, "run"))

    def test_only_the_best_is_left(self):
        self.copy_until("whole", "run", 0)
        shutil.copy(self.folder / "whole/checkpoints/best.h5", self.folder / "run/checkpoints")
        self.assertEqual(self.trained("run", "--resume", sets=EVERY_10), self.whole)

    def test_all_damaged_is_an_error(self):
        shutil.copytree(self.folder / "whole", self.folder / "run")
        damaged = sorted((self.folder / "run/checkpoints").iterdir())
        for path in damaged:
            os.truncate(path, 1000)
        metrics = self.metrics("run")
        for ranks in (None, 3):
            result = self.train("run", "--resume", sets=EVERY_10, ranks=ranks)
            self.assertNotEqual(result.code, 0, result.text)
            self.assertEqual(len(result.warnings), len(damaged), result.text)
            self.assertEqual(len(result.errors), 1, result.text)
            self.assertIn(str(self.folder / "run"), result.errors[0])
        self.assertEqual(sorted((self.folder / "run/checkpoints").iterdir()), damaged)
        self.assertEqual(self.metrics("run"), metrics)
        for command in ("inspect", "eval"):
            result = run(command, self.folder / "run")
            self.assertNotEqual(result.code, 0)
            self.assertEqual(len(result.errors), 1, result.text)


class FullDisk(RondoTest):
    def check(self, full, folder, resume, last):
        """Warnings while it trains on, an error at the end; what was written before is good."""
        self.assertNotIn(full.code, (0, None))
        self.assertEqual(len(full.errors), 1, full.text)
        self.assertIn("the last checkpoint was not written", full.errors[0])
        self.assertIn("--resume", full.errors[0])
        self.assertGreaterEqual(len(full.warnings), 1, full.text)
        for line in full.warnings + full.errors:
            self.assertRegex(line, r"/step-\d{8}\.h5: .*free space")
        self.assertIn(f"step {last}/{last}", full.text)
        good = checkpoints(folder)
        self.assertGreaterEqual(len(good), 2)
        for path in good:
            self.digest(path)
        self.assertEqual([path for path in folder.rglob(".*") if ".tmp-" in path.name], [])
        resume()
        self.assertEqual(self.digest(folder), self.whole)

    def limited(self, name, sets):
        """Starts a run and, after two checkpoints, forbids it files of their size; as a full disk would."""
        # Python ignores SIGXFSZ, and so do its children if they are not told otherwise.
        started = self.start_training(name, sets=sets, restore_signals=False)
        folder = self.folder / name
        wait_until(lambda: len(checkpoints(folder)) >= 2, "two checkpoints")
        size = checkpoints(folder)[0].stat().st_size
        resource.prlimit(started.process.pid, resource.RLIMIT_FSIZE, (size // 2, resource.RLIM_INFINITY))
        return started

    def test_limited_file_size(self):
        sets = {"checkpoint.every_steps": 50, "train.max_steps": 3000, "checkpoint.keep": 100}
        self.whole = self.trained("long", sets=sets)
        full = self.limited("run", sets).result()
        self.check(full, self.folder / "run", lambda: self.trained("run", "--resume", sets=sets), 3000)

        with self.subTest("mended in time"):
            started = self.limited("mended", sets)
            log = self.folder / "mended/logs/rank-0000.log"
            wait_until(lambda: "warning: " in log.read_text(), "the warning")
            resource.prlimit(started.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
            mended = started.result()
            self.assertEqual(mended.code, 0, mended.text)
            self.assertGreaterEqual(len(mended.warnings), 1)
            self.assertEqual(self.digest(self.folder / "mended"), self.whole)

    def test_full_file_system(self):
        disk = self.folder / "disk"
        disk.mkdir()
        sets = EVERY_10 | {"train.max_steps": 60}
        self.whole = self.trained("whole", sets=sets)
        size = checkpoints(self.folder / "whole")[0].stat().st_size * 7 // 2
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(disk)]
        if os.geteuid() != 0 or subprocess.run(mount, stderr=subprocess.DEVNULL).returncode != 0:
            print("not tested: a full file system (only root can mount one)")
            self.skipTest("cannot mount a small file system")
        self.addCleanup(subprocess.run, ["umount", str(disk)], check=True)
        for ranks in (None, 2):
            with self.subTest(ranks=ranks):
                subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)
                full = self.train("disk/run", sets=sets, ranks=ranks)

                def resume():
                    subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
                    self.trained("disk/run", "--resume", sets=sets)
                self.check(full, disk / "run", resume, 60)
                shutil.rmtree(disk / "run")


class Refused(RondoTest):
    def refused(self, result, *parts):
        self.assertNotEqual(result.code, 0, result.text)
        self.assertEqual(len(result.errors), 1, result.text)
        for part in parts:
            self.assertIn(part, result.errors[0])

    def test_changed_key(self):
        self.trained("whole", sets=EVERY_10)
        for ranks in (None, 2):
            for change, was, now in (({"train.seed": 7}, "was 1", "is 7"),
                                     ({"optimizer.learning_rate": 0.5}, "was 0.001", "is 0.5"),
                                     ({"model.layers": ["linear 8"]}, "linear 32 gelu", "linear 8"),
                                     ({"device.threads": 2}, "was 1", "is 2")):
                with self.subTest(ranks=ranks, change=change):
                    result = self.train("whole", "--resume", sets=EVERY_10 | change, ranks=ranks)
                    self.refused(result, *change, was, now, "begin a new run directory")
        self.assert_each_step_once("whole")

    def test_what_does_not_change_the_bits_may_change(self):
        whole = self.trained("whole", sets=EVERY_10)
        self.copy_until("whole", "run", 20)
        free = {"exchange.algorithm": "ring", "exchange.bucket_bytes": 4096, "checkpoint.keep": 2, "train.log_every": 5}
        self.assertEqual(self.trained("run", "--resume", sets=free, ranks=2), whole)

    def test_other_numerics(self):
        self.trained("whole", sets=EVERY_10)
        lesser = {"ONEDNN_MAX_CPU_ISA": "SSE41"}
        self.copy_until("whole", "run", 20)
        for ranks in (None, 3):
            self.refused(self.train("run", "--resume", sets=EVERY_10, env=lesser, ranks=ranks),
                         "step-00000020.h5", "--accept-numerics")
        self.trained("run", "--resume", "--accept-numerics", sets=EVERY_10, env=lesser)
        self.assertIn("until step 20: ", self.succeed("inspect", self.folder / "run").text)

    def test_a_second_run_in_the_same_directory(self):
        self.trained("run")
        metrics = self.metrics("run")
        for ranks in (None, 3):
            self.refused(self.train("run", ranks=ranks), str(self.folder / "run"), f"step {LAST}", "--resume", "--run-dir")
        self.assertEqual(self.metrics("run"), metrics)

    def test_two_runs_at_once(self):
        first = self.start_training("run", ranks=2, sets={"train.max_steps": 1_000_000})
        self.wait_for_start("run")
        for flags in ([], ["--resume"]):
            for ranks in (None, 2):
                with self.subTest(flags=flags, ranks=ranks):
                    self.refused(self.train("run", *flags, ranks=ranks), str(self.folder / "run"), "another run")
        self.assertIsNone(first.process.poll())
        first.kill()

    def test_nothing_to_resume(self):
        result = self.train("run", "--resume")
        self.assertEqual(result.code, 0, result.text)
        self.assertEqual(len(result.warnings), 1, result.text)
        self.assertIn("nothing to resume", result.warnings[0])
        self.assertEqual(self.digest(self.folder / "run"), self.trained("other"))

    def test_a_finished_run(self):
        whole = self.trained("run", sets=EVERY_10)
        self.assertEqual(self.trained("run", "--resume", sets=EVERY_10), whole)
        self.assert_each_step_once("run")


if __name__ == "__main__":
    unittest.main()
