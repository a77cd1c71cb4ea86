"""The main job on real data: three seeds of the committed config, and of a single network, against the targets.

Choices were made on weeks before the test weeks (configs/energy.toml says which are held out).
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

RONDO, SOURCE = os.environ["RONDO"], os.environ["RONDO_SOURCE"]
MPIRUN = [os.environ["RONDO_MPIRUN"], "--allow-run-as-root", "--oversubscribe", "--bind-to", "none"]


def train(folder, seed, *settings):
    run = os.path.join(folder, f"seed{seed}-{len(settings)}")
    command = [*MPIRUN, "-n", "2", RONDO, "train", "configs/energy.toml", "--run-dir", run, "--set", f"train.seed={seed}"]
    for setting in settings:
        command += ["--set", setting]
    begin = time.monotonic()
    subprocess.run(command, check=True, cwd=SOURCE, timeout=180, stdout=subprocess.DEVNULL)  # the deadline is a target
    metrics = json.loads(open(os.path.join(run, "metrics.jsonl")).read().splitlines()[-1])
    print(f"seed {seed} {' '.join(settings) or 'main config'}: MAPE {metrics['mape']:.3f} %, in the band "
          f"{metrics['coverage']:.1f} %, week-naive {metrics['week_naive_mape']:.2f} %, {time.monotonic() - begin:.0f} s")
    return metrics


def check(what, value, low, high):
    good = low <= value <= high
    print(f"{'ok  ' if good else 'FAIL'} {what}: {value:.3f}, expected {low} to {high}")
    return good


with tempfile.TemporaryDirectory() as folder:
    main = [train(folder, seed) for seed in (1, 2, 3)]
    single = [train(folder, seed, "model.members=1") for seed in (1, 2, 3)]

results = [
    check("week-naive MAPE, as published for this split", main[0]["week_naive_mape"], 7.16, 7.18),
    check("main config, mean MAPE", statistics.mean(m["mape"] for m in main), 0, 3.0),
    check("single network, mean MAPE", statistics.mean(m["mape"] for m in single), 0, 3.15),
    check("main config, mean coverage", statistics.mean(m["coverage"] for m in main), 75, 85),
]
sys.exit(0 if all(results) else 1)
