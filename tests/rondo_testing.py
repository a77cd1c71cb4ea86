"""How the tests run the program as a user would: alone or under mpirun, in a fresh folder, with a deadline.

Environment: RONDO (the program), RONDO_SOURCE (the source tree, where relative data paths begin) and
RONDO_MPIRUN, all set by CTest; RONDO_PATIENCE, if set: see below."""

import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from dataclasses import dataclass
from pathlib import Path

RONDO = os.environ["RONDO"]
SOURCE = Path(os.environ["RONDO_SOURCE"])
MPIRUN = [os.environ["RONDO_MPIRUN"], "--allow-run-as-root", "--oversubscribe", "--bind-to", "none"]
ULFM = ["--with-ft", "ulfm"]  # further arguments of mpirun, for recovery in the job
# With it mpirun lets a job go on of which two ranks have left with codes of their own; its own code is then 0.
ANY_CODE = ["--runtime-options", "error-nonzero-status=0"]
TAYLOR = "configs/data/taylor.csv.gz"
ELECDEMAND = "configs/data/elecdemand.csv.gz"
PATIENCE = float(os.environ.get("RONDO_PATIENCE", "1"))  # how much longer things may take: a sanitizer's build is slow
STOPPED = 85  # exit code of a run that was asked to stop

# A run of a few tenths of a second that uses dropout, clipping, averaged weights and more than one epoch.
TINY = {
    "task.kind": "energy", "data.path": TAYLOR, "data.target": "demand",
    "energy.test_weeks": 2, "energy.validation_weeks": 2,
    "model.layers": ["linear 32 gelu", "dropout 0.1"],
    "train.max_steps": 40, "train.global_batch": 64, "train.micro_batches": 4, "train.log_every": 10,
    "optimizer.clip_norm": 2.0, "optimizer.average_decay": 0.9,
    "checkpoint.keep": 10, "device.kind": "cpu",
}


def settings(values):
    """The values as `--set` arguments; what JSON writes for them is also TOML."""
    return [text for key, value in values.items() for text in ("--set", f"{key}={json.dumps(value)}")]


def write_config(path, values):
    Path(path).write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()))
    return str(path)


def members(session):
    """Living processes of a session: mpirun and its ranks, which have process groups of their own."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            state, _, _, its_session = Path(f"/proc/{int(entry)}/stat").read_text().rpartition(")")[2].split()[:4]
        except (ValueError, OSError):
            continue
        if int(its_session) == session and state not in "ZX":
            found.append(int(entry))
    return found


def standing(session):
    """A line for each living process of a session: what it is, and how far it came by its threads."""
    lines = []
    for pid in members(session):
        try:
            name = Path(f"/proc/{pid}/comm").read_text().strip()
            lines.append(f"process {pid}: {name}, {len(os.listdir(f'/proc/{pid}/task'))} threads")
        except OSError:
            continue
    return "\n".join(lines)


def rank_processes(session):
    """Process of each rank under mpirun, by rank."""
    ranks = {}
    for pid in members(session):
        try:
            found = re.search(rb"\0OMPI_COMM_WORLD_RANK=(\d+)\0", Path(f"/proc/{pid}/environ").read_bytes())
        except OSError:
            continue
        if found:
            ranks[int(found[1])] = pid
    return ranks


def wait_until(condition, what, deadline=60):
    deadline *= PATIENCE
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {deadline} s for {what}")
        time.sleep(0.005)


@dataclass
class Result:
    command: list
    code: int
    text: str  # stdout and stderr

    def lines(self, beginning):
        return [line for line in self.text.splitlines() if line.startswith(beginning)]

    @property
    def errors(self):
        return [line for line in self.lines("rondo: ") if line not in self.warnings]

    @property
    def warnings(self):
        return self.lines("rondo: warning: ")


class Started:
    """A running command: a session of its own, so that it can be killed with all its ranks."""

    def __init__(self, arguments, ranks=None, env=None, groups=None, mpirun=(), cwd=SOURCE, **options):
        self.arguments = [str(a) for a in arguments]
        command = [RONDO] + self.arguments
        if groups:  # [(number of ranks, environment of these ranks), ...]
            owners = [own for n, own in groups for _ in range(n)]
            cases = "".join(f"{rank}) export {' '.join(f'{k}={v}' for k, v in own.items())};;"
                            for rank, own in enumerate(owners) if own)
            # Not by mpirun's own "-n 1 ... : -n 1 -x ...": the mpirun of Open MPI 5.0.7 crashes on it.
            script = f'case $OMPI_COMM_WORLD_RANK in {cases} esac; exec "$@"'
            command = MPIRUN + ["-n", str(len(owners)), "sh", "-c", script, "sh"] + command
        elif ranks:
            command = MPIRUN + [*mpirun, "-n", str(ranks)] + command
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("OMPI_", "PMIX_", "OMP_", "ONEDNN_"))}
        # What a killed MPI leaves behind goes away with the test's folder.
        folder = tempfile.gettempdir()
        clean |= {"TMPDIR": folder, "OMPI_MCA_btl_vader_backing_directory": folder,
                  "OMPI_MCA_btl_sm_backing_directory": folder,
                  "OMPI_MCA_btl_tcp_if_include": "lo",  # whatever interfaces there are, tests stay on loopback
                  "OMPI_MCA_pml": "ob1"}  # as in tests/CMakeLists.txt
        self.process = subprocess.Popen(command, cwd=cwd, env=clean | (env or {}), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        errors="replace", start_new_session=True, **options)
        self.session = self.process.pid

    def kill(self):
        """SIGKILL to mpirun and every rank, until none is left."""
        while alive := members(self.session):
            for pid in alive:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.process.poll()
        return self.result()

    def result(self, timeout=60):
        timeout *= PATIENCE
        try:
            text, _ = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            where, rest = standing(self.session), self.kill().text
            raise AssertionError(f"still running after {timeout} s: {self.process.args}\n{where}\n{rest}") from None
        return Result(self.process.args, self.process.returncode, text)


def run(*arguments, timeout=60, **options):
    return Started(arguments, **options).result(timeout)


def has_ulfm():
    """Whether the program can recover in the job, as its doctor sees it."""
    return "in the job" in run("doctor").text


class RondoTest(unittest.TestCase):
    """A fresh folder for each test, `self.folder`, with the tiny configuration in `self.config`."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="rondo-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.addCleanup(setattr, tempfile, "tempdir", tempfile.tempdir)
        tempfile.tempdir = str(self.folder)
        self.config = write_config(self.folder / "tiny.toml", TINY)
        self.started = []
        self.addCleanup(lambda: [one.kill() for one in self.started if one.process.poll() is None])

    def start_training(self, run_dir, *flags, sets=None, **options):
        self.started.append(Started(["train", self.config, "--run-dir", self.folder / run_dir, *flags,
                                     *settings(sets or {})], **options))
        return self.started[-1]

    def train(self, run_dir, *flags, timeout=60, **options):
        return self.start_training(run_dir, *flags, **options).result(timeout)

    def succeed(self, *arguments, **options):
        result = run(*arguments, **options)
        self.assertEqual(result.code, 0, f"{result.command}\n{result.text}")
        return result

    def wait_for_start(self, run_dir):
        """Returns once the run's signal handlers stand and its steps begin."""
        log = self.folder / run_dir / "logs" / "rank-0000.log"
        wait_until(lambda: log.exists() and "ready after" in log.read_text(), f"{run_dir} to start")

    def trained(self, run_dir, *flags, **options):
        """Digest of the weights that a run ends with."""
        result = self.train(run_dir, *flags, **options)
        self.assertEqual(result.code, 0, f"{result.command}\n{result.text}")
        self.assertEqual(result.errors, [])
        return self.digest(self.folder / run_dir)

    def digest(self, run_or_checkpoint):
        text = self.succeed("inspect", run_or_checkpoint, "--digest").text.strip()
        self.assertRegex(text, r"\A[0-9a-f]{32}\Z")
        return text

    def metrics(self, run_dir):
        return [json.loads(line) for line in (self.folder / run_dir / "metrics.jsonl").read_text().splitlines()]

    def assert_each_step_once(self, run_dir, last=None):
        """No line of the metrics is missing or repeated, whatever happened to the run."""
        every, last = TINY["train.log_every"], last or TINY["train.max_steps"]
        seen = [(line["step"], line.get("split", "train")) for line in self.metrics(run_dir)]
        self.assertEqual(seen, [(step, "train") for step in range(every, last + 1, every)]
                         + [(last, "validation"), (last, "test")])

    def copy_until(self, run_dir, copy, step):
        """The run as it was when its checkpoint of `step` was the newest."""
        shutil.copytree(self.folder / run_dir, self.folder / copy)
        for path in (self.folder / copy / "checkpoints").iterdir():
            if path.name == "best.h5" or int(path.stem.removeprefix("step-")) > step:
                path.unlink()


def checkpoints(run_dir):
    """Checkpoints by step, oldest first; `best.h5` is not among them."""
    return sorted((Path(run_dir) / "checkpoints").glob("step-*.h5"))


def rows_of(path):
    """Lines of a CSV file, the header first."""
    opened = gzip.open(path, "rt") if str(path).endswith(".gz") else open(path)
    with opened as f:
        return f.read().splitlines()
