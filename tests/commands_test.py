"""What each command promises to a user: evaluation, inspection, forecasts, conversion, help, signals."""

import csv
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
import unittest
from datetime import datetime, timedelta

import h5py
import numpy as np

from rondo_testing import (ELECDEMAND, PATIENCE, SOURCE, STOPPED, TAYLOR, TINY, RondoTest, checkpoints, rank_processes, rows_of, run,
                           settings, wait_until, write_config)

KNOWN = TINY | {"data.path": ELECDEMAND, "data.known": ["temperature", "workday"], "energy.unit": "GW",
                "energy.hinge_column": "temperature", "train.max_steps": 400, "energy.future_stride": [1, 6]}
LONG = {"train.max_steps": 10000}


class Models(RondoTest):
    """Commands that use a trained model."""

    def setUp(self):
        super().setUp()
        self.trained("model", ranks=2, sets={"train.max_steps": 600})
        self.model = self.folder / "model"

    def test_eval_gives_what_training_ended_with(self):
        final = {line["split"]: line for line in self.metrics("model") if "split" in line}
        for split in ("test", "validation"):
            for ranks in (None, 3):
                with self.subTest(split=split, ranks=ranks):
                    out = json.loads(self.succeed("eval", self.model, "--split", split, "--json", ranks=ranks).text)
                    wanted = {k: v for k, v in final[split].items() if k not in ("step", "split")}
                    self.assertEqual({k: v for k, v in out["metrics"].items() if k in wanted}, wanted)
                    self.assertGreaterEqual(set(wanted), {"mape", "pinball", "coverage"})
                    self.assertEqual((out["step"], out["split"], out["samples"]), (600, split, 14))
        for table in (self.succeed("eval", self.model).text, self.succeed("eval", self.model, ranks=3).text):
            self.assertIn("step 600, test split, 14 ", table)
            for name in ("mape", "day_naive_mape", "week_naive_mape"):
                self.assertIn(f" {final['test'][name]:.2f}", table)

    def test_training_learns(self):
        """The forecast beats the one that repeats yesterday, and the band is one."""
        test = self.metrics("model")[-1]
        self.assertLess(test["mape"], test["day_naive_mape"])
        self.assertTrue(60 < test["coverage"] < 95, test)

    def test_eval_of_other_data_and_of_one_checkpoint(self):
        raw = self.folder / "raw.csv"
        raw.write_text("\n".join(rows_of(SOURCE / TAYLOR)[:3000]) + "\n")
        one = checkpoints(self.model)[-1]
        out = json.loads(self.succeed("eval", one, "--set", f"data.path={raw}", "--json").text)
        self.assertEqual(out["checkpoint"], str(one))
        self.assertNotEqual(out["metrics"]["mape"], self.metrics("model")[-1]["mape"])

    def test_inspect(self):
        digest = self.digest(self.model)
        text = self.succeed("inspect", self.model).text
        out = json.loads(self.succeed("inspect", self.model, "--json").text)
        self.assertEqual(out["digest"], digest)
        self.assertEqual(out["checkpoint"], str(checkpoints(self.model)[-1]))
        self.assertEqual(out["scalars"]["train/steps_done"], 600)
        self.assertEqual(out["scalars"]["ranks"], 2)
        self.assertIn("oneDNN", out["scalars"]["numerics"])
        arrays = {array["name"]: (array["type"], array["shape"]) for array in out["arrays"]}
        self.assertEqual(arrays["parameters/layer0.linear.weight"], ("float32", [32, 348]))
        with h5py.File(out["checkpoint"]) as f:
            for name, (kind, shape) in arrays.items():
                self.assertEqual((f[name].dtype.name, list(f[name].shape)), (kind, shape))
        for part in [digest, "max_steps = 600", "train/steps_done", *arrays]:
            self.assertIn(part, text)

    def test_forecasts_are_those_that_eval_scores(self):
        lines = rows_of(SOURCE / TAYLOR)
        demand = np.array([float(line.split(",")[1]) for line in lines[1:]])
        error, inside = [], []
        for origin in range(len(demand) - 672, len(demand), 48):  # midnights of the test weeks
            past, output = self.folder / "past.csv", self.folder / "forecast.h5"
            past.write_text("\n".join(lines[:1] + lines[1 + origin - 400:1 + origin]) + "\n")
            self.succeed("predict", self.model, "--input", past, "--output", output)
            with h5py.File(output) as f:
                low, middle, high = (f[f"demand_{q}"][()] for q in ("q10", "q50", "q90"))
                seconds = f["time"][()]
            actual = demand[origin:origin + 48]
            start = datetime.fromisoformat(lines[1 + origin].split(",")[0])
            self.assertEqual([datetime(1970, 1, 1) + timedelta(seconds=int(s)) for s in seconds],
                             [start + timedelta(minutes=30 * i) for i in range(48)])
            self.assertTrue((low <= middle).all() and (middle <= high).all())
            error += list(abs(middle - actual) / actual)
            inside += list((low <= actual) & (actual <= high))
        test = self.metrics("model")[-1]
        self.assertAlmostEqual(100 * np.mean(error), test["mape"], delta=1e-4 * test["mape"])
        self.assertAlmostEqual(100 * np.mean(inside), test["coverage"], delta=0.2)

    def test_forecast_to_csv_and_hdf5(self):
        for suffix in (".csv", ".h5"):
            self.succeed("predict", self.model, "--input", TAYLOR, "--output", self.folder / f"forecast{suffix}")
        names, rows = read_forecast(self.folder / "forecast.csv")
        self.assertEqual(names, ["time", "demand_q10", "demand_q50", "demand_q90"])
        last = datetime.fromisoformat(rows_of(SOURCE / TAYLOR)[-1].split(",")[0])
        self.assertEqual([time for time, *_ in rows], [last + timedelta(minutes=30 * i) for i in range(1, 49)])
        with h5py.File(self.folder / "forecast.h5") as f:
            self.assertEqual(sorted(f), ["demand_q10", "demand_q50", "demand_q90", "time"])
            for q in (1, 2, 3):
                np.testing.assert_allclose(f[names[q]][()], [row[q] for row in rows], rtol=1e-5)
        self.succeed("import", self.config, "--output", self.folder / "taylor.h5")
        again = self.folder / "again.csv"
        self.succeed("predict", self.model, "--input", self.folder / "taylor.h5", "--output", again)
        self.assertEqual(again.read_text(), (self.folder / "forecast.csv").read_text())


def read_forecast(path):
    with open(path) as f:
        names, *rows = list(csv.reader(f))
    return names, [(datetime.fromisoformat(time), *map(float, values)) for time, *values in rows]


class KnownAhead(RondoTest):
    def test_forecast_with_columns_known_ahead(self):
        self.config = write_config(self.folder / "known.toml", KNOWN)
        self.trained("model")
        model = self.folder / "model"
        header, *lines = rows_of(SOURCE / ELECDEMAND)
        fields = [line.split(",") for line in lines[-1000:]]

        def forecast(change, name):
            changed = [change(list(row), i - (len(fields) - 48)) for i, row in enumerate(fields)]
            path = self.folder / f"{name}.csv"
            path.write_text("\n".join([header] + [",".join(row) for row in changed]) + "\n")
            self.succeed("predict", model, "--input", path, "--output", self.folder / f"{name}-out.csv")
            return read_forecast(self.folder / f"{name}-out.csv")
        names, rows = forecast(lambda row, ahead: [row[0], "", *row[2:]] if ahead >= 0 else row, "empty")
        self.assertEqual(names, ["time", "demand_q10 (GW)", "demand_q50 (GW)", "demand_q90 (GW)"])
        self.assertEqual([row[0] for row in rows], [datetime.fromisoformat(row[0]) for row in fields[-48:]])
        for _, low, middle, high in rows:
            self.assertTrue(0 < low <= middle <= high)
        self.assertEqual(forecast(lambda row, ahead: row, "given")[1], rows, "the target ahead was looked at")
        warmer = forecast(lambda row, ahead: [*row[:2], "40", row[3]] if ahead >= 0 else row, "warmer")[1]
        self.assertNotEqual(warmer, rows, "the temperature ahead was not looked at")
        output = self.folder / "forecast.h5"
        self.succeed("predict", model, "--input", self.folder / "empty.csv", "--output", output)
        with h5py.File(output) as f:
            self.assertEqual(f["demand_q50"].attrs["unit"], b"GW")
            self.assertIn(b"seconds since 1970", f["time"].attrs["unit"])
            np.testing.assert_allclose(f["demand_q50"][()], [row[2] for row in rows], rtol=1e-5)

    def test_import_keeps_every_bit(self):
        known = self.folder / "known.toml"
        self.config = write_config(known, KNOWN | {"train.max_steps": 40})
        data = self.folder / "data.h5"
        out = self.succeed("import", known, "--output", data).text
        self.assertRegex(out, r"17520 rows from 2014-01-01T00:00:00, a row every 1800 s, 0 missing")
        with h5py.File(data) as f:
            for at, name in enumerate(("demand", "temperature", "workday"), 1):
                np.testing.assert_array_equal(f["columns"][name][()],
                                              [float(line.split(",")[at]) for line in rows_of(SOURCE / ELECDEMAND)[1:]])
        digest = self.trained("csv")
        for ranks in (None, 3):
            self.assertEqual(self.trained(f"hdf5-{ranks}", ranks=ranks, sets={"data.path": str(data)}), digest)


class Help(RondoTest):
    def test_every_command_has_an_example(self):
        text = self.succeed("--help").text
        self.assertIn("Example: mpirun -n 4 rondo train", text)
        commands = re.findall(r"(?m)^  ([a-z]+) +[A-Z]", text.partition("ubcommands:")[2])
        self.assertGreaterEqual(set(commands), {"train", "launch", "eval", "predict", "import", "inspect", "doctor", "bench"})
        for command in commands:
            with self.subTest(command):
                its = self.succeed(command, "--help").text
                self.assertRegex(its, rf"Example: (mpirun .*)?rondo {command}")
                for line in its.splitlines():  # an option without a word of help
                    self.assertNotRegex(line, r"^ +--?[a-z-]+( [A-Z.]+)?( REQUIRED)?\s*$")
        self.assertRegex(self.succeed("--version").text, r"\A\d+\.\d+\.\d+ ")

    def test_the_listed_config_is_one(self):
        text = self.succeed("train", "--help-config").text
        for line in text.splitlines():
            self.assertRegex(line, r"\A(|\[[a-z]+\]|[a-z_0-9]+ = .+  # .+)\Z")
        listed = self.folder / "listed.toml"
        listed.write_text(text)
        sets = settings({"data.path": TAYLOR, "data.target": "demand", "train.max_steps": 3, "energy.test_weeks": 2,
                         "energy.validation_weeks": 2})
        self.succeed("train", listed, "--run-dir", self.folder / "listed", *sets)
        nearly_empty = self.folder / "defaults.toml"
        nearly_empty.write_text("task.kind = 'energy'\n")
        self.succeed("train", nearly_empty, "--run-dir", self.folder / "defaults", *sets)
        self.assertEqual(self.digest(self.folder / "listed"), self.digest(self.folder / "defaults"))

    def test_the_configs_of_the_repository(self):
        for config in sorted((SOURCE / "configs").glob("*.toml")):
            with self.subTest(config.name):
                folder = self.folder / config.stem
                self.succeed("train", config, "--run-dir", folder, "--set", "train.max_steps=2", timeout=120)
                self.digest(folder)


class Sums(RondoTest):
    def test_sums_with_conversion_and_the_bound_of_the_memory(self):
        """Beside every all-reduce of one node; words that are wrong would be an error."""
        out = self.folder / "comm.json"
        self.succeed("bench", "comm", "--min", "4K", "--max", "16K", "--rounds", 3, "--algorithm", "exact", "--algorithm",
                     "private", "--json", out, ranks=3)
        rows = json.loads(out.read_text())["rows"]
        for name in ("exact", "private"):
            found = [(row["type"], row["wrong"]) for row in rows if row["algorithm"] == name]
            self.assertEqual(found, 2 * [("float32", 0)])
        for row in rows:
            for way, us in (("", "time_us"), ("out_of_place_", "out_of_place_us")):
                gb_per_s = row["bytes"] / row[us] / 1e3  # nccl-tests, doc/PERFORMANCE.md: times 2 (n - 1) / n
                self.assertAlmostEqual(row[f"{way}busbw"] / gb_per_s, 4 / 3, places=6)
                self.assertGreaterEqual(row[f"{way}p99_us"], row[us])


class Trace(RondoTest):
    def test_all_ranks_are_on_one_clock(self):
        """No bucket is done before every rank has started it, and a rank does one thing after another."""
        for algorithm in ("shared", "ring"):
            with self.subTest(algorithm):
                out, figures = self.folder / f"{algorithm}.json", self.folder / f"{algorithm}-figures.json"
                sets = settings({"exchange.algorithm": algorithm, "exchange.bucket_bytes": 16384})
                self.succeed("bench", "step", SOURCE / "scripts/peers/small.toml", "--steps", "32", "--trace", out,
                             "--json", figures, *sets, ranks=2)
                events = json.loads(out.read_text())["traceEvents"]
                begins = {e["id"]: e["ts"] for e in events if e["ph"] == "b"}
                ends = {e["id"]: e["ts"] for e in events if e["ph"] == "e"}
                self.assertEqual(set(begins), set(ends))
                numbers = {id.split(".")[1] for id in begins}
                self.assertGreater(len(numbers), 32)
                for number in numbers:
                    started = max(begins[f"{rank}.{number}"] for rank in range(2))
                    for rank in range(2):
                        self.assertGreater(ends[f"{rank}.{number}"], started - 1)  # microseconds
                for rank in range(2):
                    names = [e["name"] for e in sorted((e for e in events if e["ph"] == "X" and e["pid"] == rank),
                                                       key=lambda e: e["ts"] + e["dur"])
                             if e["name"] in ("data", "forward", "backward", "wait", "optimizer", "step")]
                    a_step = ["data", "forward", "backward", "wait", "optimizer", "step"]
                    self.assertEqual(names, a_step * (len(names) // len(a_step)))
                found = json.loads(figures.read_text())
                self.assertGreater(found["exchange"]["work_us"], 0)
                self.assertLess(found["exchange"]["work_share"], 1)
                buckets = found["buckets"]
                self.assertEqual([b["bytes"] == 0 for b in buckets], [False] * (len(buckets) - 1) + [True])
                for bucket in buckets:
                    self.assertGreaterEqual(min(bucket.values()), 0)

    @unittest.skipUnless(os.environ.get("RONDO_CLOCK_AHEAD"), "a sanitizer wants to be the first to be loaded")
    def test_hosts_may_have_clocks_of_their_own(self):
        out, env = self.folder / "trace.json", {"LD_PRELOAD": os.environ["RONDO_CLOCK_AHEAD"]}
        look = [sys.executable, "-c", "import time; print(time.monotonic())"]
        there = subprocess.run(look, env=os.environ | env | {"OMPI_COMM_WORLD_RANK": "1"}, capture_output=True, text=True)
        self.assertGreater(float(there.stdout) - time.monotonic(), 900)
        self.succeed("bench", "step", SOURCE / "scripts/peers/small.toml", "--steps", "32", "--trace", out,
                     *settings({"exchange.algorithm": "ring"}), ranks=2, env=env)
        events = [e for e in json.loads(out.read_text())["traceEvents"] if e["ph"] == "X" and e["name"] == "optimizer"]
        begins = [[e["ts"] for e in events if e["pid"] == rank] for rank in range(2)]  # all join a control word before
        self.assertGreater(len(begins[0]), 16)
        apart = statistics.median(abs(a - b) for a, b in zip(*begins, strict=True))
        self.assertLess(apart, 5000 * PATIENCE)  # microseconds

    def test_buckets_of_a_member_leave_before_the_next_one_has_begun(self):
        """All of a rank's micro-batches go through one member, then through the next."""
        out = self.folder / "trace.json"
        sets = settings({"model.members": 2, "train.micro_batches": 4, "exchange.bucket_bytes": 4096})
        self.succeed("bench", "step", SOURCE / "scripts/peers/small.toml", "--steps", "16", "--trace", out, *sets, ranks=2)
        events = json.loads(out.read_text())["traceEvents"]
        for rank in range(2):
            mine = [e for e in events if e["pid"] == rank]
            steps = [(e["ts"], e["ts"] + e["dur"]) for e in mine if e["name"] == "step"]
            self.assertGreaterEqual(len(steps), 16)
            for begin, end in steps:
                sent = min(e["ts"] for e in mine if e["ph"] == "b" and begin <= e["ts"] < end)
                forward = [e["ts"] for e in mine if e["name"] == "forward" and begin <= e["ts"] < end]
                self.assertEqual((len(forward), sum(ts > sent for ts in forward)), (4, 2))


class RunDirectory(RondoTest):
    def test_what_is_in_it(self):
        result = self.train("run", ranks=3, sets={"checkpoint.every_steps": 15, "checkpoint.keep": 1})
        folder = self.folder / "run"
        self.assertIn(f"run directory: {folder}", result.text)
        self.assertEqual(sorted({p.name for p in folder.iterdir()} - {"balance.jsonl"}),  # only if ranks were uneven
                         ["checkpoints", "config.toml", "heartbeats", "lock", "logs", "metrics.jsonl"])
        self.assertEqual(sorted(p.name for p in (folder / "logs").iterdir()), [f"rank-000{r}.log" for r in range(3)])
        for rank in range(3):
            self.assertIn(f" rank {rank} ready after ", (folder / f"logs/rank-000{rank}.log").read_text())
        self.assertEqual(sorted(p.name for p in (folder / "checkpoints").iterdir()), ["best.h5", "step-00000040.h5"])
        self.assert_each_step_once("run")
        for line in self.metrics("run")[:-2]:
            self.assertEqual(set(line), {"step", "loss", "learning_rate", "gradient_norm", "samples_per_s", "redos",
                                         "data_s", "forward_s", "backward_s", "communication_hidden_s",
                                         "communication_exposed_s", "optimizer_s", "checking_s", "checkpoints_s",
                                         "elapsed_s"})
            self.assertTrue(line["loss"] > 0 and line["gradient_norm"] > 0 and line["samples_per_s"] > 0)

    def test_its_config_reads_back(self):
        digest = self.trained("run", sets={"train.seed": 5})
        self.config = self.folder / "run" / "config.toml"
        self.assertEqual(self.trained("again"), digest)
        self.assertEqual((self.folder / "again/config.toml").read_text(), self.config.read_text())

    def test_default_name(self):
        home = self.folder / "home"
        home.mkdir()
        self.succeed("train", self.config, *settings({"data.path": str(SOURCE / TAYLOR)}), cwd=home)
        self.digest(home / "runs" / "tiny")

    def test_validation_in_mid_run(self):
        self.trained("run", ranks=2, sets={"train.eval_every": 10})
        scores = {line["step"]: line["mape"] for line in self.metrics("run") if line.get("split") == "validation"}
        self.assertEqual(list(scores), [10, 20, 30, 40])
        best = json.loads(self.succeed("inspect", self.folder / "run/checkpoints/best.h5", "--json").text)
        self.assertEqual(best["scalars"]["train/steps_done"], min(scores, key=scores.get))
        self.assertEqual(best["scalars"]["train/best_score"], min(scores.values()))


class Signals(RondoTest):
    def test_usr1_writes_a_checkpoint(self):
        whole = self.trained("whole", sets=LONG)
        for ranks in (None, 2):
            with self.subTest(ranks=ranks):
                name = f"run{ranks}"
                started = self.start_training(name, ranks=ranks, sets=LONG)
                self.wait_for_start(name)
                rank_0 = started.process.pid if ranks is None else rank_processes(started.session)[0]
                os.kill(rank_0, signal.SIGUSR1)
                wait_until(lambda: checkpoints(self.folder / name), "a checkpoint")
                [first] = checkpoints(self.folder / name)[:1]
                step = int(first.stem.removeprefix("step-"))
                self.assertTrue(0 < step < LONG["train.max_steps"], step)
                result = started.result()
                self.assertEqual(result.code, 0, result.text)
                self.assertEqual(self.digest(self.folder / name), whole)

    def test_term_and_int_stop_and_can_be_resumed(self):
        whole = self.trained("whole", sets=LONG)
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number.name):
                started = self.start_training(number.name, sets=LONG)
                self.wait_for_start(number.name)
                os.kill(started.process.pid, number)
                stopped = started.result()
                self.assertEqual(stopped.code, STOPPED, stopped.text)
                step = int(re.search(r"stopped as asked at step (\d+); go on with: rondo train .* --resume",
                                     stopped.text)[1])
                self.assertEqual([p.stem for p in checkpoints(self.folder / number.name)], [f"step-{step:08}"])
                resumed = self.train(number.name, "--resume", ranks=2, sets=LONG)
                self.assertIn(f"at step {step}", resumed.text)
                self.assertEqual(self.digest(self.folder / number.name), whole)

    def test_by_way_of_mpirun(self):
        """USR1 and USR2 to mpirun reach every rank: one checkpoint, and a stop with its exit code."""
        whole = self.trained("whole", sets=LONG)
        started = self.start_training("run", ranks=3, sets=LONG)
        self.wait_for_start("run")
        os.kill(started.process.pid, signal.SIGUSR1)
        wait_until(lambda: checkpoints(self.folder / "run"), "a checkpoint")
        os.kill(started.process.pid, signal.SIGUSR2)
        stopped = started.result()
        self.assertEqual(stopped.code, STOPPED, stopped.text)
        self.assertEqual(len(checkpoints(self.folder / "run")), 2)
        self.assertEqual(self.trained("run", "--resume", sets=LONG), whole)

    def test_term_to_one_rank_of_three_stops_all(self):
        whole = self.trained("whole", sets=LONG)
        started = self.start_training("run", ranks=3, sets=LONG)
        self.wait_for_start("run")
        os.kill(rank_processes(started.session)[2], signal.SIGTERM)
        stopped = started.result()
        self.assertEqual(stopped.code, STOPPED, stopped.text)
        self.assertEqual(self.trained("run", "--resume", sets=LONG), whole)


if __name__ == "__main__":
    unittest.main()
