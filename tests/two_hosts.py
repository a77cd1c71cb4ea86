"""Runs commands on two namespaced hosts for tests: scripts/two-hosts with a deadline."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(os.environ["RONDO_SOURCE"])
SCRIPT = SOURCE / "scripts/two-hosts"
CANNOT = 77  # also CTest's SKIP_RETURN_CODE
PAYLOAD = 1448 / 1514  # of a link's nominal rate


@dataclass
class Done:
    code: int
    text: str  # stdout and stderr


def on_two_hosts(ranks, *command, rate=None, timeout=60, env=None):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OMPI_", "PRTE_", "PMIX_", "OMP_", "TWO_HOSTS"))}
    limits = ["--rate", rate] if rate else []
    done = subprocess.run([SCRIPT, "-n", str(ranks), *limits, "--timeout", str(timeout), "--", *map(str, command)],
                          cwd=SOURCE, env=clean | (env or {}), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", timeout=timeout + 30)
    return Done(done.returncode, done.stdout)


def skip_where_impossible():
    """Ends the test program as skipped, with the reason, where no namespaces can be made."""
    tried = on_two_hosts(2, "true", timeout=30)
    if tried.code == CANNOT:
        print("skipped:", tried.text.strip())
        sys.exit(CANNOT)


if __name__ == "__main__":  # a test of another kind on two hosts: two_hosts.py RANKS COMMAND...
    skip_where_impossible()
    finished = on_two_hosts(sys.argv[1], *sys.argv[2:], timeout=150)
    print(finished.text)
    sys.exit(finished.code)
