"""Chaos: ranks are killed, stopped, crashed, ended, hung or slowed at chosen moments of a run. Every trial must finish with
the digest of a run to which nothing happened.

    chaos_test.py [--in-job [--spares 0] [--sharded]] [--trials 8] [--seed 1] [--json]   # a table at the end; exit code 1 if any trial went wrong

`rondo launch` starts the job again; with --in-job, for Open MPI 5, survivors go on without the dead, some of them perhaps
spares at first. Trials go round the
faults, the phases, the ranks and one or two victims, so that a small number is a sample of each; the seed chooses steps
and what meets what."""

import argparse
import itertools
import json
import random
import re
import shutil
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

from rondo_testing import ANY_CODE, TINY, ULFM, Started, has_ulfm, run, write_config

FAULTS = ["kill", "stop", "segv", "exit", "slow", "hang"]
DEATHS = ["kill", "segv", "exit"]
PHASES = ["loading", "forward", "backward", "bucket", "exchange", "control_word", "optimizer", "sharing", "checkpoint",
          "evaluation"]
EVERY, EVALUATE = 40, 200
RUN = TINY | {"train.log_every": 200, "checkpoint.every_steps": EVERY, "train.eval_every": EVALUATE,
              "recovery.watchdog_s": 1.0, "exchange.bucket_bytes": 16384}


class ByLaunch:
    spares, sharded = 0, False
    ranks, steps, phases, deadline = 3, 1200, ["starting"] + PHASES, 90

    @staticmethod
    def codes(trial):
        return [0]

    @staticmethod
    def start(config, folder, chaos):
        return Started(["launch", "-n", ByLaunch.ranks, "--mpirun", "--oversubscribe --bind-to none", "--", "train",
                        config, "--run-dir", folder], env=surroundings(folder, chaos))

    @staticmethod
    def second(chance, first, rank):
        """Another rank in the same attempt, or any rank in the restart: a fault during recovery."""
        other = chance.randrange(ByLaunch.ranks)
        return fault(chance, ByLaunch, chance.choice(FAULTS), chance.choice(ByLaunch.phases), other,
                     int(other == rank))

    @staticmethod
    def outages(trial, folder, attempts):
        return [a["outage_s"] for a in attempts if a["outage_s"] >= 0]

    @staticmethod
    def recoveries(attempts):
        return len(attempts) - 1


class InJob:
    spares, sharded = 0, False  # spares: of the ranks
    ranks, steps, phases, deadline = 4, 600, PHASES, 40

    @staticmethod
    def codes(trial):
        return [0]

    @staticmethod
    def start(config, folder, chaos):
        return Started(["train", config, "--run-dir", folder], ranks=InJob.ranks, mpirun=ULFM + ANY_CODE,
                       env=surroundings(folder, chaos))

    @staticmethod
    def second(chance, first, rank):
        """Another rank: somewhere, or at the same step, or while the others recover from the first."""
        other = (rank + chance.randrange(1, InJob.ranks)) % InJob.ranks
        kind, how = chance.choice(FAULTS), chance.randrange(3)
        if InJob.sharded and how != 0:
            return InJob.second_of_slices(chance, first, rank, kind)
        if how == 0:
            return fault(chance, InJob, kind, chance.choice(InJob.phases), other)
        step = re.search(r"step=(\d+)", first)[1]
        phase = "recovery" if how == 1 else chance.choice(["loading", "forward", "backward", "exchange"])
        return f"rank={other},step={step},phase={phase_of(InJob, other, phase)},fault={kind}"

    @staticmethod
    def second_of_slices(chance, first, rank, kind):
        """At the same step, but not the rank that has the same slices (two from here): to lose both loses the run."""
        other, step = (rank + chance.choice([1, 3])) % InJob.ranks, int(re.search(r"step=(\d+)", first)[1])
        phase = phase_of(InJob, other, chance.choice(["forward", "optimizer", "sharing", "recovery", "restoring"]))
        entry = chance.randrange(1, 12) if phase == "restoring" else 1
        if re.search("phase=(optimizer|sharing)", first) and phase in ("recovery", "restoring"):
            step += 1  # which the others have begun when they miss the first
        return f"rank={other},step={step},phase={phase},entry={entry},fault={kind}"

    @staticmethod
    def outages(trial, folder, attempts):
        """From each death, as the dead rank's log has it, until a survivor has done the step again."""
        deaths, done = [], []
        if re.search("fault=(stop|hang)", trial["chaos"]):  # then the watchdog's patience counts
            return []
        for log in (folder / "logs").glob("*.log"):
            for line in log.read_text().splitlines():
                if re.search(f" chaos: ({'|'.join(DEATHS)}) in ", line):
                    deaths.append(datetime.fromisoformat(line.split()[0]))
                if "step done again after" in line:
                    done.append(datetime.fromisoformat(line.split()[0]))
        return [min((end - death).total_seconds() for end in done if end >= death)
                for death in deaths if any(end >= death for end in done)]

    @staticmethod
    def recoveries(attempts):
        return len(attempts)


def surroundings(folder, chaos):
    """Of a trial's processes: two mpirun that start at the same moment must not share a session folder."""
    own = folder.with_suffix(".tmp")
    own.mkdir()
    return {"RONDO_CHAOS": chaos, "TMPDIR": str(own)}


def fault(chance, mode, kind, phase, rank, attempt=0):
    """One fault as RONDO_CHAOS wants it, at a step at which its phase comes by."""
    phase = phase_of(mode, rank, phase)
    step = {"checkpoint": chance.randrange(1, mode.steps // EVERY) * EVERY, "starting": 0,
            "evaluation": chance.randrange(1, mode.steps // EVALUATE) * EVALUATE}.get(
                phase, chance.randrange(10, mode.steps - 10))
    where = f"phase=backward,bucket={chance.randrange(1, 4)}" if phase == "bucket" else f"phase={phase}"
    return f"rank={rank},step={step},{where},fault={kind},attempt={attempt}"


def phase_of(mode, rank, phase):
    """A spare has nothing to compute: it dies at the exchange."""
    return "exchange" if rank >= mode.ranks - mode.spares and phase in ("forward", "backward", "bucket") else phase


def trials(mode, count, seed):
    """What happens in each trial: fault, phase, rank and whether there is a second victim take turns."""
    chance = random.Random(seed)
    orders = [chance.sample(values, len(values)) for values in (FAULTS, mode.phases, list(range(mode.ranks)), [1, 2])]
    for faults, phases, ranks, victims in itertools.islice(zip(*map(itertools.cycle, orders)), count):
        # Lengths without a common divisor would walk through everything by themselves; these need a nudge.
        if chance.random() < 0.5:
            ranks = chance.randrange(mode.ranks)
        plan = [fault(chance, mode, faults, phases, ranks)]
        if victims == 2:
            plan.append(mode.second(chance, plan[0], ranks))
        yield {"fault": faults, "phase": phases, "rank": ranks, "victims": victims, "chaos": ";".join(plan)}


def attempts_of(folder):
    path = folder / "attempts.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def one(mode, trial, config, folder, whole):
    try:
        return judged(mode, trial, config, folder, whole)
    finally:
        for left in folder, folder.with_suffix(".tmp"):
            shutil.rmtree(left, ignore_errors=True)  # mpirun may have hung before there was one


def judged(mode, trial, config, folder, whole):
    begin = time.monotonic()
    try:
        result = mode.start(config, folder, trial["chaos"]).result(mode.deadline)
    except AssertionError as hung:
        return trial | {"good": False, "code": -1, "restarts": 0, "seconds": mode.deadline, "outages": [], "text": str(hung)}
    attempts = attempts_of(folder)
    good = result.code in mode.codes(trial) and run("inspect", folder, "--digest").text.strip() == whole
    return trial | {"good": good, "code": result.code, "restarts": mode.recoveries(attempts), "seconds": time.monotonic() - begin,
                    "outages": mode.outages(trial, folder, attempts), "text": "" if good else result.text}


def table(done, what):
    lines = [f"{'trial':>5}  {'fault':<6} {'phase':<13} {'rank':>4} {'victims':>7} {'recovered':>9} {'outage,s':>9} "
             f"{'run,s':>6}  digest"]
    for i, trial in enumerate(done):
        worst = f"{max(trial['outages']):.2f}" if trial["outages"] else "-"
        lines.append(f"{i:>5}  {trial['fault']:<6} {trial['phase']:<13} {trial['rank']:>4} {trial['victims']:>7} "
                     f"{trial['restarts']:>9} {worst:>9} {trial['seconds']:>6.1f}  {'same' if trial['good'] else 'WRONG'}")
    lines += ["", *summary(done, what)]
    lines.append(f"{sum(t['good'] for t in done)} of {len(done)} finished with the failure-free digest, "
                 f"{sum(t['restarts'] for t in done)} recoveries")
    outages = [s for trial in done for s in trial["outages"]]
    if outages:
        lines.append(f"from {len(outages)} {what} to the first new step: median {statistics.median(outages):.3f} s, "
                     f"p99 {p99(outages):.3f} s, max {max(outages):.3f} s")
    return "\n".join(lines)


def summary(done, what):
    """A line for each first fault, then one for each phase in which it struck."""
    lines = [f"{'first fault':<13} {'trials':>6} {'same digest':>11} {'recoveries':>10} {what:>14} {'median,s':>8} {'p99,s':>6}"]
    for key, values in (("fault", FAULTS), ("phase", ["starting"] + PHASES)):
        for value in values:
            some = [trial for trial in done if trial[key] == value]
            outages = [s for trial in some for s in trial["outages"]]
            times = f"{statistics.median(outages):>8.3f} {p99(outages):>6.3f}" if outages else f"{'-':>8} {'-':>6}"
            if some:
                lines.append(f"{value:<13} {len(some):>6} {sum(t['good'] for t in some):>11} "
                             f"{sum(t['restarts'] for t in some):>10} {len(outages):>14} {times}")
    return lines


def p99(seconds):
    return sorted(seconds)[min(len(seconds) - 1, int(0.99 * len(seconds)))]


def main():
    parser = argparse.ArgumentParser(epilog="Example: scripts/chaos --trials 50 --seed 1")
    parser.add_argument("--in-job", action="store_true", help="recovery in the job: mpirun --with-ft ulfm, no launch")
    parser.add_argument("--spares", type=int, default=0,
                        help=f"with --in-job: so many of the {InJob.ranks} ranks wait as spares (default: 0)")
    parser.add_argument("--sharded", action="store_true", help="with --in-job: optimizer.sharded, with mirrors")
    parser.add_argument("--trials", type=int, default=8, help="how many (default: 8)")
    parser.add_argument("--seed", type=int, default=1, help="chooses what meets what (default: 1)")
    parser.add_argument("--jobs", type=int, default=1,
                        help="trials at a time: most wait for a watchdog (default: 1, for which times are meant)")
    parser.add_argument("--json", action="store_true", help="JSON instead of the table")
    options = parser.parse_args()
    for name, least in (("spares", 0), ("trials", 1), ("jobs", 1)):
        if getattr(options, name) < least:
            parser.error(f"--{name} {getattr(options, name)}: expected {least} or more")
    if options.in_job and not has_ulfm():
        sys.exit("this MPI has no fault tolerance: recovery in the job needs Open MPI 5")
    mode = InJob if options.in_job else ByLaunch
    InJob.spares, InJob.sharded = options.spares, options.sharded
    home = Path(tempfile.mkdtemp(prefix="rondo-chaos-", dir="/tmp"))
    tempfile.tempdir = str(home)
    config = write_config(home / "tiny.toml", RUN | {"train.max_steps": mode.steps, "recovery.spares": mode.spares,
                                                   "optimizer.sharded": "true" if mode.sharded else "auto"})
    try:
        whole_run = run("train", config, "--run-dir", home / "whole", "--set", "recovery.spares=0")
        assert whole_run.code == 0, whole_run.text
        whole = run("inspect", home / "whole", "--digest").text.strip()
        done = []
        with ThreadPoolExecutor(options.jobs) as pool:
            plan = list(trials(mode, options.trials, options.seed))
            folders = [home / f"run{i}" for i in range(len(plan))]
            for trial in pool.map(lambda trial, folder: one(mode, trial, config, folder, whole), plan, folders):
                done.append(trial)
                print(f"{len(done)}/{options.trials} {trial['chaos']}: {'same' if trial['good'] else 'WRONG'}",
                      file=sys.stderr, flush=True)
                if trial["text"]:
                    print(trial["text"], file=sys.stderr)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    print(json.dumps(done, indent=2) if options.json else
          table(done, "deaths" if options.in_job else "ends of a job"))
    unhurt = [trial["chaos"] for trial in done if trial["fault"] != "slow" and trial["restarts"] == 0]
    for chaos in unhurt:
        print(f"did not strike: {chaos}", file=sys.stderr)
    return 0 if all(trial["good"] for trial in done) and not unhurt else 1


if __name__ == "__main__":
    sys.exit(main())
