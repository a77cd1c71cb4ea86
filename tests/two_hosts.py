"""Runs commands on two namespaced hosts for tests: scripts/two-hosts with a deadline."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from rondo_testing import PATIENCE, SOURCE

SCRIPT = SOURCE / "scripts/two-hosts"
CANNOT = 77  # also CTest's SKIP_RETURN_CODE
PAYLOAD = 1448 / 1514  # of a link's nominal rate


@dataclass
class Done:
    code: int
    text: str  # stdout and stderr


def on_two_hosts(ranks, *command, rate=None, timeout=60, env=None, flags=(), meanwhile=None):
    """`meanwhile` is called with the id of the process that has the hosts."""
    timeout = round(timeout * PATIENCE)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OMPI_", "PRTE_", "PMIX_", "OMP_", "TWO_HOSTS"))}
    clean["OMPI_MCA_pml"] = "ob1"  # as in tests/CMakeLists.txt
    limits = ["--rate", rate] if rate else []
    with subprocess.Popen([SCRIPT, "-n", str(ranks), *limits, *flags, "--timeout", str(timeout), "--", *map(str, command)],
                          cwd=SOURCE, env=clean | (env or {}), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace") as job:
        try:
            if meanwhile:
                meanwhile(job.pid)
            text, _ = job.communicate(timeout=timeout + 30)
            return Done(job.returncode, text)
        finally:
            job.kill()


def lose_second_host(job, silently):
    """Kills all processes of host-b at once; silently: its address is gone before. `job`: as `meanwhile` gets it."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if words[0] == b"unshare" and b"host-b" in words and job in ancestors(folder.name):
                first = (folder / "task" / folder.name / "children").read_text().split()[0]
                break
        except (OSError, IndexError):
            continue
    else:
        raise RuntimeError("host-b has no processes")
    if silently:
        user = [] if os.geteuid() == 0 else ["-U", "--preserve-credentials"]
        subprocess.run(["nsenter", "-t", first, *user, "-n", "ip", "address", "flush", "dev", "eth0"], check=True, timeout=30)
    os.kill(int(first), signal.SIGKILL)


def ancestors(pid):
    found = []
    while int(pid) > 1:
        pid = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
        found.append(int(pid))
    return found


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
