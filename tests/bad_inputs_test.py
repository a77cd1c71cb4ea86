"""Bad input, of every kind a user can give: one line that names the place and the remedy, an exit code, no
hang, nothing half-written; alone and on three ranks."""

import gzip
import unittest
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np

from rondo_testing import ELECDEMAND, SOURCE, TAYLOR, TINY, RondoTest, run, rows_of, settings, write_config

SOON = {"OMPI_MCA_odls_base_sigkill_timeout": "0"}  # else mpirun 4 takes up to two seconds to end when a rank fails
ALONE, THREE, BOTH = [None], [3], [None, 3]
NOT_OURS = ["terminate called", "Segmentation", "#0 ", "HDF5-DIAG", "what():", "Sanitizer", "core dumped", "check `"]


class BadInputs(RondoTest):
    def setUp(self):
        super().setUp()
        self.pool = ThreadPoolExecutor(2)
        self.cases = []
        self.addCleanup(self.pool.shutdown)
        self.lines = rows_of(SOURCE / TAYLOR)

    def tearDown(self):
        for name, parts, folder, future in self.cases:
            with self.subTest(name):
                self.check(future.result(), parts, folder)

    def check(self, result, parts, folder):
        self.assertNotEqual(result.code, 0, result.text)
        self.assertEqual(len(result.errors), 1, result.text)
        for part in parts:
            self.assertIn(part, result.errors[0])
        for word in NOT_OURS:
            self.assertNotIn(word, result.text)
        left = [p for p in folder.rglob("*") if ".tmp" in p.name or "checkpoints" in p.parts and p.suffix == ".h5"]
        self.assertEqual(left, [])

    def command(self, arguments, *parts, ranks=BOTH, env=None, groups=None):
        """Running `rondo` with `arguments` must fail in one line that has all of `parts`. `{run}` among the
        arguments stands for a run directory of its own."""
        for n in ranks:
            folder = self.folder / f"case{len(self.cases)}"
            folder.mkdir()
            own = [str(a).replace("{run}", str(folder / "run")) for a in arguments]
            future = self.pool.submit(run, *own, timeout=30, ranks=n, env=SOON | (env or {}), groups=groups if n else None)
            name = f"{' '.join(own)} on {n or 'no'} ranks"
            self.cases.append((name, parts, folder, future))

    def train(self, sets, *parts, **options):
        self.command(["train", self.config, "--run-dir", "{run}", *settings(sets)], *parts, **options)

    def train_text(self, config, *parts, **options):
        path = self.folder / f"config{len(self.cases)}.toml"
        path.write_text(config)
        self.command(["train", path, "--run-dir", "{run}"], f"{path}", *parts, **options)

    def csv(self, lines, *parts, sets=None):
        """Training on these lines of CSV must fail in a line that has the file's name and all of `parts`."""
        path = self.folder / f"data{len(self.cases)}.csv"
        path.write_bytes(lines if isinstance(lines, bytes) else ("\n".join(lines) + "\n").encode())
        self.train({"data.path": str(path)} | (sets or {}), f"{path.name}{parts[0]}", *parts[1:])

    def changed(self, number, line):
        """The lines of the good file with line `number`, counted from 1, replaced."""
        return self.lines[:number - 1] + [line] + self.lines[number:]

    def test_config_file(self):
        self.train_text("[train]\nmax_steps = = 3\n", ":2: ", "not valid TOML")
        self.train_text("[train]\nmax_step = 3\n", ":2: ", "train.max_step", "did you mean train.max_steps?")
        self.train_text("[zzz]\nqqqqqqqqqqqqqqqqqq = 3\n", ":2: ", "unknown key", "--help-config")
        self.train_text("[train]\n\nmax_steps = 'many'\n", ":3: ", "train.max_steps must be an integer", '"many"')
        self.train_text("train.max_steps = 1\ntrain.max_steps = 2\n", ":2: ", "not valid TOML")
        self.train_text("model.layers = 'linear 3'\n", ":1: ", "model.layers must be a list of strings")
        self.train_text("model.layers = [3]\n", ":1: ", "model.layers must be a list of strings")
        self.train_text("data.known = ['a', 1]\n", ":1: ", "data.known must be a list of strings")
        self.train_text("optimizer.learning_rate = nan\n", ":1: ", "optimizer.learning_rate must be finite")
        self.train_text("train.seed = 99999999999999999999\n", ":1: ")
        self.command(["train", self.folder / "none.toml", "--run-dir", "{run}"], "none.toml", "cannot be opened",
                     "TOML configuration")
        self.command(["train", self.folder, "--run-dir", "{run}"], str(self.folder), "TOML configuration")

    def launch(self, *arguments, parts, ranks=ALONE, env=None):
        self.command(["launch", *arguments], *parts, ranks=ranks, env=env)

    def test_launch(self):
        good = ["--", "train", self.config, "--run-dir", "{run}"]
        self.launch(*good, parts=["-n is required", "rondo --help"])
        self.launch("-n", 0, *good, parts=["-n", "0 not in range"])
        self.launch("-n", 2, parts=["-- train CONFIG"])
        self.launch("-n", 2, "--", "eval", "runs/x", parts=["-- train CONFIG"])
        self.launch("-n", 2, "--", "train", parts=["config is required", "rondo train --help"])
        self.launch("-n", 2, "--", "train", self.folder / "none.toml", parts=["none.toml", "cannot be opened"])
        self.launch("-n", 2, *good, "--sett", "a=1", parts=["train: ", "--sett", "rondo train --help"])
        self.launch("-n", 2, "--min-ranks", 3, *good, parts=["--min-ranks 3", "-n 2"])
        self.launch("-n", 2, *good, parts=["starts mpirun itself"], ranks=THREE)
        self.launch("-n", 2, *good, parts=["/no/mpirun", "RONDO_MPIRUN"], env={"RONDO_MPIRUN": "/no/mpirun"})
        hosts = self.folder / "hosts"
        hosts.write_text("# mine\nlocalhost slots=some\n")
        self.launch("-n", 2, "--hosts", hosts, *good, parts=[f"{hosts}:2: ", "slots=N"])
        few = self.folder / "few"
        few.write_text("localhost slots=1\n")
        self.launch("-n", 2, "--hosts", few, *good, parts=[f"{few}", "1 slots for 2 ranks"])
        self.launch("-n", 2, "--hosts", self.folder / "none", *good, parts=["none", "cannot be opened"])
        over = ["--mpirun", "--oversubscribe --bind-to none"]
        self.launch("-n", 2, *over, *good, "--set", "train.max_steps=0", parts=["--set train.max_steps", "not 0"])
        self.train({}, "RONDO_CHAOS", "fault", env={"RONDO_CHAOS": "rank=0,step=1,fault=fire"})
        self.train({"recovery.watchdog_s": -1}, "recovery.watchdog_s", "between 0", "not -1")

    def test_values(self):
        self.train({"train.max_steps": 0}, "--set train.max_steps", "between 1 and", "not 0")
        self.train({"train.seed": -1}, "train.seed", "at least 0", "not -1")
        self.train({"train.precision": "float64"}, "train.precision", "float32, tf32, bfloat16", '"float64"')
        self.train({"train.precision": "float16", "device.kind": "cpu"}, "train.precision", "cpu", 'use "float32"')
        self.train({"train.global_batch": 65}, "train.global_batch = 65", "multiple of train.micro_batches = 4")
        self.train({"train.micro_batches": 2}, "3 ranks", "train.micro_batches = 2", "start at most", ranks=THREE)
        self.train({"task.kind": "enregy"}, "task.kind", '"enregy"', "expected energy")
        self.train({"optimizer.kind": "adam"}, "optimizer.kind", "adamw", '"adam"')
        self.train({"exchange.algorithm": "star"}, "exchange.algorithm", "auto, shared, ring, hierarchical, tree, mpi")
        self.train({"exchange.bucket_bytes": -1}, "exchange.bucket_bytes", "between 0")
        self.train({"optimizer.learning_rate": 1e30}, "optimizer.learning_rate")
        self.train({"data.target": ""}, "data.target is not set", "name the column")
        self.train({"data.path": ""}, "data.path")
        self.train({"data.known": ["demand"]}, "demand twice", "only one of")
        self.train({"energy.hinge_column": "temperature"}, "energy.hinge_column", '"temperature"', "data.known")
        self.train({"energy.test_weeks": 10}, TAYLOR, "4032 rows are too few", "10 test", "2 validation")
        self.train({"energy.day": 24}, TAYLOR, "48 rows a day", "energy.day = 24")

    def test_layers(self):
        for layer, *parts in [("linaer 32", "unknown layer linaer", "did you mean linear?"),
                              ("zzzzzzzzzzzz", "unknown layer", "layer_norm"),
                              ("linear 32 gelo", "unknown activation gelo", "relu, gelu or silu"),
                              ("linear many", "OUT must be a number", "many"),
                              ("linear 0", "OUT must be a number from 1", "not 0"),
                              ("linear 3.5", "OUT must be a number", "not 3.5"),
                              ("linear", "expected OUT at the end"),
                              ("dropout 1.5", "P must be a number from 0 to 0.99", "not 1.5"),
                              ("linear 32 gelu 7", "nothing expected at 7"),
                              ("residual linear 8", "gives 8 columns"),
                              ("sequence 7", "cannot be cut into steps of 7 channels"),
                              ("", "expected a layer")]:
            self.train({"model.layers": ["linear 32", layer]}, f'model.layers: "{layer}"', *parts)

    def test_csv(self):
        self.train({"data.path": "configs/data/none.csv"}, "configs/data/none.csv", "No such file", "expected a CSV file")
        self.train({"data.path": "configs/data"}, "configs/data", "irectory")
        self.train({"data.target": "demnad"}, f"{TAYLOR}:1: ", "no column demnad", "did you mean demand?")
        self.train({"data.known": ["temperature"]}, f"{TAYLOR}:1: ", "no column temperature", "time, demand")
        self.csv([line.replace(",", ";") for line in self.lines], ":1: ", "separate columns by commas")
        self.csv(b"", ":1: ", "is empty", "header")
        self.csv(self.lines[:1], ":", "0 rows", "at least 2")
        self.csv(["time,demand,demand"] + self.lines[1:], ":1: ", "twice", "rename")
        self.csv(self.changed(3, self.lines[2] + "x"), ":3: column demand: ", "is not a number", "such as 12.5")
        self.csv(self.changed(500, self.lines[499].split(",")[0] + ",1e999"), ":500: column demand: ", "finite")
        self.csv(self.changed(17, self.lines[16] + ",5"), ":17: ", "3 fields, but the header has 2")
        self.csv(self.changed(17, self.lines[15]), ":17: column time: ", "duplicate")
        self.csv(self.lines[:20] + self.lines[22:], ":21: column time: ", "2 rows missing")
        self.csv(self.changed(20, self.lines[9]), ":20: column time: ", "goes backwards")
        self.csv(self.changed(9, "2000-13-05T00:00,3"), ":9: column time: ", "is not a time", "2024-01-31T13:00")
        for nothing in ("", "NA", "nan"):
            self.csv(self.changed(9, f"{self.lines[8].split(',')[0]},{nothing}"), ":9: column demand: ",
                     "missing value", "interpolate")
        self.csv(self.changed(9, self.lines[8].replace(",", ',"')), ":9", "quote")
        for value in ("0", "-5"):  # row 7 of the data
            self.csv(self.changed(9, f"{self.lines[8].split(',')[0]},{value}"), ": column demand, row 7", "not positive",
                     "remove or mend")
        self.csv(bytes(np.random.default_rng(1).integers(0, 256, 5000, np.uint8)), ":")
        self.csv(b"time,demand\n\0\1\2\3", ":", "binary")
        whole = gzip.compress("\n".join(self.lines).encode())
        self.csv(whole[:len(whole) // 2], ":", "truncated or damaged", "get the file again")
        wrong_checksum = whole[:-6] + bytes([whole[-6] ^ 1]) + whole[-5:]
        self.csv(wrong_checksum, ":", "truncated or damaged", "get the file again")

    def test_weeks_that_do_not_fit(self):
        """The week before the first validation day must be there, whatever the history."""
        self.csv(self.lines[:1 + 2 * 336 + 200], ": ", "too few", "validation",
                 sets={"energy.history": 24, "energy.test_weeks": 1, "energy.validation_weeks": 1})

    def test_hdf5(self):
        known = TINY | {"data.path": ELECDEMAND, "data.known": ["temperature"]}
        config = write_config(self.folder / "known.toml", known)
        good = self.folder / "good.h5"
        self.succeed("import", config, "--output", good)

        def bad(name, change, *parts):
            path = self.folder / f"{name}.h5"
            path.write_bytes(good.read_bytes())
            change(path)
            self.command(["train", config, "--run-dir", "{run}", *settings({"data.path": str(path)})], f"{name}.h5: ",
                         *parts)

        def edit(f):
            def change(path):
                with h5py.File(path, "r+") as file:
                    f(file)
            return change

        def set_attribute(name, value):
            return edit(lambda file: file.attrs.__setitem__(name, value))

        def set_value(file):
            file["columns/demand"][5000] = np.nan
        bad("csv", lambda path: path.write_text("\n".join(self.lines)), "HDF5")
        bad("empty", lambda path: path.write_bytes(b""), "HDF5")
        bad("half", lambda path: path.write_bytes(good.read_bytes()[:good.stat().st_size // 2]))
        bad("format", set_attribute("format", "other"), "rondo-series", "import it")
        bad("version", set_attribute("format_version", 99), "version 99", "import it again")
        bad("step", set_attribute("step", 0), "step 0", "import it again")
        bad("no_start", edit(lambda file: file.attrs.__delitem__("start")), "attribute start")
        bad("no_column", edit(lambda file: file.move("columns/demand", "columns/demands")), "no column demand",
            "did you mean demands?")
        bad("role", edit(lambda file: file["columns/temperature"].attrs.__setitem__("role", "observed")),
            "column temperature", "recorded as observed", "lists it as known")
        bad("unequal", edit(lambda file: file["columns/temperature"].resize((100,))), "column temperature", "100 rows",
            "17520")
        bad("nan", edit(set_value), "column demand: row 5000 (2014-04-15T04:00:00)", "finite", "interpolate")
        self.train({"data.path": str(self.folder / "none.h5")}, "none.h5", "cannot be opened")

    def test_command_line(self):
        self.command([], "command line", "ubcommand", "--help")
        self.command(["trian", self.config], "command line", "trian", "--help")
        self.command(["train", self.config, "--run-dri", "{run}"], "command line", "--run-dri", "--help")
        self.command(["train"], "command line", "config", "--help")
        self.command(["train", self.config, "extra"], "command line", "extra", "--help")
        self.command(["train", self.config, "--run-dir"], "command line", "--run-dir", "--help")
        self.command(["eval"], "command line", "model", "--help")
        self.command(["predict", "x"], "command line", "--input", "--help")
        for form, *parts in [("train.max_steps", "expected key=value"), ("=3", "expected key=value"),
                             ("train.max_steps=", "train.max_steps must be an integer"),
                             ("train.max_steps=3x", "train.max_steps must be an integer"),
                             ("train max_steps=3", "not a TOML key"), ("train.max_step=3", "did you mean train.max_steps?")]:
            self.command(["train", self.config, "--run-dir", "{run}", "--set", form], "--set", form.split("=")[0], *parts)

    def test_models_and_forecasts(self):
        model = self.folder / "model"
        self.succeed("train", self.config, "--run-dir", model)
        newest = model / "checkpoints" / "step-00000040.h5"
        for command in ("eval", "inspect"):
            ranks = BOTH if command == "eval" else ALONE
            self.command([command, self.folder / "none"], "none", "no such file", "run directory or a checkpoint",
                         ranks=ranks)
            self.command([command, self.config], "tiny.toml", "expected a checkpoint file", ranks=ranks)
            self.command([command, self.folder / "empty"], "empty", "no good checkpoint", "train first", ranks=ranks)
        (self.folder / "empty").mkdir()
        damaged = self.folder / "damaged.h5"
        damaged.write_bytes(newest.read_bytes()[:-1000])
        self.command(["eval", damaged], "damaged.h5", "truncated", "earlier checkpoint")
        self.command(["eval", model, "--split", "tests"], "--split tests", "train, validation or test")
        self.command(["eval", model, "--set", "data.path=none.csv"], "none.csv", "cannot be opened")
        self.command(["eval", model, "--set", "data.paht=none.csv"], "did you mean data.path?")

        def forecast(lines, *parts, output="forecast.csv", model=model):
            path = self.folder / f"recent{len(self.cases)}.csv"
            path.write_text("\n".join(lines) + "\n")
            self.command(["predict", model, "--input", path, "--output", self.folder / output], *parts, ranks=ALONE)
            return path
        forecast(self.lines[:300], "299 rows are too few", "expected 336")
        forecast(self.lines[:1] + self.lines[1::2], "a row every 3600 s", "48 rows a day")
        forecast(["time,load"] + self.lines[1:], ":1: ", "no column demand")
        forecast(self.lines, "--output", "forecast.txt", ".csv or .h5", output="forecast.txt")
        forecast(self.lines, "none/forecast.csv", "folder exists", output="none/forecast.csv")
        forecast(self.lines, "none/forecast.h5", output="none/forecast.h5")
        forecast(self.lines, "damaged.h5", "truncated", model=damaged)
        self.command(["predict", model, "--input", "none.csv", "--output", self.folder / "f.csv"], "none.csv",
                     "cannot be opened", ranks=ALONE)

        def convert(*parts, output, csv=TAYLOR):
            self.command(["import", self.config, "--csv", csv, "--output", output], *parts, ranks=ALONE)
        convert("--output", "x.csv", ".h5", output=self.folder / "x.csv")
        convert("none.csv", "cannot be opened", output=self.folder / "x.h5", csv="none.csv")
        convert("none/x.h5", output=self.folder / "none/x.h5")
        gap = self.folder / "gap.csv"
        gap.write_text("\n".join(self.lines[:3000] + self.lines[3001:]))
        convert("gap.csv:3001: ", "1 rows missing", output=self.folder / "gap.h5", csv=gap)
        for *_, future in self.cases:
            future.result()
        self.assertEqual([p for p in self.folder.iterdir() if ".tmp" in p.name or p.name in ("gap.h5", "x.h5")], [])

    def test_environment(self):
        limit = {"OMP_THREAD_LIMIT": "1"}
        self.train({"device.threads": 2}, "device.threads = 2", "OMP_THREAD_LIMIT = 1", "raise the limit", env=limit)
        self.train({"device.threads": 2}, "device.threads = 2", "OMP_THREAD_LIMIT = 1", ranks=THREE,
                   groups=[(2, {}), (1, limit)])
        self.command(["train", self.config, "--run-dir", f"{self.config}/run"], "tiny.toml/run", "cannot be made",
                     "writable --run-dir")
        self.command(["train", self.config, "--run-dir", "/proc/none"], "/proc/none", "writable --run-dir")
        if run("train", self.config, "--run-dir", self.folder / "gpu", *settings({"device.kind": "cuda"})).code != 0:
            self.train({"device.kind": "cuda"}, 'device.kind = "cuda"', '"cpu" or "auto"')

    def test_numbers_that_explode(self):
        rows = [line.split(",") for line in self.lines[1:]]
        huge = [f"{time},{'1e300' if 2000 < i < 2100 else demand}" for i, (time, demand) in enumerate(rows)]
        path = self.folder / "huge.csv"
        path.write_text("\n".join(self.lines[:1] + huge))
        self.train({"data.path": str(path)}, "not finite", "huge values in the data")


if __name__ == "__main__":
    unittest.main()
