"""Chaos: ranks are killed, stopped, crashed, ended, hung or slowed at chosen moments of a launched run. Every trial must
finish with the digest of a run to which nothing happened.

    chaos_test.py [--trials 8] [--seed 1] [--json]      # a table at the end; exit code 1 if any trial went wrong

Trials go round the faults, the phases, the ranks and one or two victims, so that a small number is a sample of each;
the seed chooses steps and what meets what."""

import argparse
import itertools
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from rondo_testing import TINY, Started, run, write_config

FAULTS = ["kill", "stop", "segv", "exit", "slow", "hang"]
PHASES = ["starting", "loading", "forward", "backward", "bucket", "exchange", "control_word", "optimizer", "sharing",
          "checkpoint", "evaluation"]
RANKS = 3
STEPS, EVERY = 1200, 40
RUN = TINY | {"train.max_steps": STEPS, "train.log_every": 200, "checkpoint.every_steps": EVERY, "train.eval_every": 200,
              "recovery.watchdog_s": 1.0, "exchange.bucket_bytes": 16384}


def fault(chance, kind, phase, rank, attempt):
    """One fault as RONDO_CHAOS wants it, at a step at which its phase comes by."""
    step = {"checkpoint": chance.randrange(1, STEPS // EVERY) * EVERY, "starting": 0,
            "evaluation": chance.randrange(1, 6) * 200}.get(phase, chance.randrange(10, STEPS - 10))
    where = f"phase=backward,bucket={chance.randrange(1, 4)}" if phase == "bucket" else f"phase={phase}"
    return f"rank={rank},step={step},{where},fault={kind},attempt={attempt}"


def trials(count, seed):
    """What happens in each trial: fault, phase, rank and whether there is a second victim take turns."""
    chance = random.Random(seed)
    orders = [chance.sample(values, len(values)) for values in (FAULTS, PHASES, list(range(RANKS)), [1, 2])]
    for faults, phases, ranks, victims in itertools.islice(zip(*map(itertools.cycle, orders)), count):
        # Lengths without a common divisor would walk through everything by themselves; these need a nudge.
        if chance.random() < 0.5:
            ranks = chance.randrange(RANKS)
        plan = [fault(chance, faults, phases, ranks, 0)]
        if victims == 2:  # another rank in the same attempt, or any rank in the restart: a fault during recovery
            other = chance.randrange(RANKS)
            plan.append(fault(chance, chance.choice(FAULTS), chance.choice(PHASES), other, int(other == ranks)))
        yield {"fault": faults, "phase": phases, "rank": ranks, "victims": victims, "chaos": ";".join(plan)}


def attempts_of(folder):
    return [json.loads(line) for line in (folder / "attempts.jsonl").read_text().splitlines()]


def one(trial, config, folder, whole):
    begin = time.monotonic()
    started = Started(["launch", "-n", RANKS, "--mpirun", "--oversubscribe --bind-to none", "--", "train", config,
                       "--run-dir", folder], env={"RONDO_CHAOS": trial["chaos"]})
    result = started.result(90)
    attempts = attempts_of(folder)
    good = result.code == 0 and run("inspect", folder, "--digest").text.strip() == whole
    return trial | {"good": good, "restarts": len(attempts) - 1, "seconds": time.monotonic() - begin,
                    "outages": [a["outage_s"] for a in attempts if a["outage_s"] >= 0],
                    "what": attempts[0]["what"], "text": "" if good else result.text}


def table(done):
    lines = [f"{'trial':>5}  {'fault':<6} {'phase':<13} {'rank':>4} {'victims':>7} {'restarts':>8} {'outage,s':>9} "
             f"{'run,s':>6}  digest"]
    for i, trial in enumerate(done):
        worst = f"{max(trial['outages']):.2f}" if trial["outages"] else "-"
        lines.append(f"{i:>5}  {trial['fault']:<6} {trial['phase']:<13} {trial['rank']:>4} {trial['victims']:>7} "
                     f"{trial['restarts']:>8} {worst:>9} {trial['seconds']:>6.1f}  {'same' if trial['good'] else 'WRONG'}")
    outages = [s for trial in done for s in trial["outages"]]
    lines.append(f"{sum(t['good'] for t in done)} of {len(done)} finished with the failure-free digest, "
                 f"{sum(t['restarts'] for t in done)} restarts")
    if outages:
        lines.append(f"from the end of the job to its first new step: median {statistics.median(outages):.2f} s, "
                     f"max {max(outages):.2f} s")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(epilog="Example: scripts/chaos --trials 50 --seed 1")
    parser.add_argument("--trials", type=int, default=8, help="how many (default: 8)")
    parser.add_argument("--seed", type=int, default=1, help="chooses what meets what (default: 1)")
    parser.add_argument("--json", action="store_true", help="JSON instead of the table")
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="rondo-chaos-", dir="/tmp"))
    tempfile.tempdir = str(home)
    config = write_config(home / "tiny.toml", RUN)
    try:
        whole_run = run("train", config, "--run-dir", home / "whole")
        assert whole_run.code == 0, whole_run.text
        whole = run("inspect", home / "whole", "--digest").text.strip()
        done = []
        for i, trial in enumerate(trials(options.trials, options.seed)):
            done.append(one(trial, config, home / f"run{i}", whole))
            print(f"{i + 1}/{options.trials} {trial['chaos']}: {'same' if done[-1]['good'] else 'WRONG'}",
                  file=sys.stderr, flush=True)
            if done[-1]["text"]:
                print(done[-1]["text"], file=sys.stderr)
            shutil.rmtree(home / f"run{i}")
    finally:
        shutil.rmtree(home, ignore_errors=True)
    print(json.dumps(done, indent=2) if options.json else table(done))
    unhurt = [trial["chaos"] for trial in done if trial["fault"] != "slow" and trial["restarts"] == 0]
    for chaos in unhurt:
        print(f"did not strike: {chaos}", file=sys.stderr)
    return 0 if all(trial["good"] for trial in done) and not unhurt else 1


if __name__ == "__main__":
    sys.exit(main())
