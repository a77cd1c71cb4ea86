"""Trains the energy task on simulated cards under many schedules of streams and threads, and prints a table.

    python3 tests/gpusim/many_seeds.py build/release 20

The weights must be the same whatever the schedule, the number of cards, the size of buckets and who updates
which weights; a finding of the simulator (a race, a missing wait, ...) ends a run. CI has five seeds of this.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
SETS = [
    "device.kind=cuda", "train.max_steps=4", "train.global_batch=16", "train.micro_batches=4", "energy.test_weeks=1",
    "energy.validation_weeks=1", "model.members=1",
    'model.layers=["linear 24 gelu", "layer_norm", "residual linear 24 silu", "dropout 0.1"]',
]


def main(build, seeds):
    build = Path(build).resolve()
    mpirun = ["mpirun", "--oversubscribe", "--bind-to", "none"] + ["--allow-run-as-root"] * (os.geteuid() == 0)
    digests, bad = set(), 0
    print("| seed | cards | bucket bytes | sharded | digest | findings | s |\n| --- | --- | --- | --- | --- | --- | --- |")
    for seed in range(1, seeds + 1):
        cards, bucket, sharded = 1 + seed % 4, (4096, 8192, 16384, 1 << 20)[seed // 4 % 4], seed % 3 == 0
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "findings"
            env = os.environ | {"LD_LIBRARY_PATH": str(build / "tests/gpusim/lib"), "GPUSIM_DEVICES": "4",
                                "GPUSIM_SEED": str(seed), "GPUSIM_REPORT": str(report)}
            sets = SETS + [f"exchange.bucket_bytes={bucket}", f"optimizer.sharded={str(sharded).lower()}"]
            begun = time.monotonic()
            done = subprocess.run([*mpirun, "-n", str(cards), build / "rondo", "train", SOURCE / "configs/energy.toml",
                                   "--run-dir", Path(folder) / "run", *(w for s in sets for w in ("--set", s))],
                                  cwd=SOURCE, env=env, capture_output=True, text=True, timeout=600)
            seconds = time.monotonic() - begun
            digest = "failed"
            if done.returncode == 0:
                digest = subprocess.run([build / "rondo", "inspect", Path(folder) / "run", "--digest"], check=True,
                                        capture_output=True, text=True).stdout.strip()
            else:
                print(done.stderr[-2000:], file=sys.stderr)
            findings = len(report.read_text().splitlines()) if report.exists() else 0
            digests.add(digest)
            bad += findings + (done.returncode != 0)
            print(f"| {seed} | {cards} | {bucket} | {'yes' if sharded else 'no'} | {digest} | {findings} | {seconds:.1f} |",
                  flush=True)
    print(f"\n{seeds} seeds, {len(digests)} digest(s), {bad} finding(s) or failure(s)")
    return bad != 0 or len(digests) != 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
