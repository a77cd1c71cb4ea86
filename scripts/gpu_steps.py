"""Steps of a check, each with a deadline: what they say, how long they took, one table and one JSON file."""
import json
import os
import re
import signal
import subprocess
import time


class Failed(Exception):
    """The step found something wrong."""


class Late(Failed):
    """It was not done in time."""


class Skipped(Exception):
    """The step cannot be done here, and that is no fault: a tool or a card is missing."""


def end(process):
    """mpirun ends its ranks when it is asked to; what is left then is killed."""
    process.terminate()
    try:
        process.communicate(timeout=5)
    except subprocess.TimeoutExpired:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.communicate()


def said(text):
    """What went wrong, in words of the program: where it says so, else its last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for i, line in enumerate(lines):
        if line.startswith("rondo: ") or "error" in line.lower():
            return " ".join(lines[i:i + (1 if line.startswith("rondo: ") else 2)])
    return lines[-1] if lines else "nothing was printed"


class Steps:
    def __init__(self, cwd, deadline):
        self.cwd, self.end = cwd, time.monotonic() + deadline
        self.done = []

    def run(self, command, deadline, env=None, codes=(0,)):
        """What the command prints; Failed if it ends otherwise than with one of `codes`, late, or is not there."""
        command = [str(part) for part in command]
        left = min(deadline, self.end - time.monotonic())
        if left <= 0:
            raise Skipped("no time is left")
        try:
            process = subprocess.Popen(command, cwd=self.cwd, env=os.environ | (env or {}), text=True, errors="replace",
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                       start_new_session=True)
        except OSError as problem:
            raise Failed(f"{command[0]}: {problem.strerror}") from None
        try:
            text = re.sub(r"\x1b\[[0-9;]*m", "", process.communicate(timeout=left)[0])  # without colours
        except subprocess.TimeoutExpired:
            end(process)
            raise Late(f"not done after {left:.0f} s: {' '.join(command)}") from None
        if process.returncode not in codes:
            raise Failed(f"exit code {process.returncode} of {' '.join(command)}: {said(text)}")
        return text

    def step(self, name, work):
        """work() gives (a line of detail, figures for the JSON file). Whatever happens, the next step follows."""
        print(f"... {name}", flush=True)
        begin, figures = time.monotonic(), {}
        try:
            detail, figures = work()
            verdict = "ok"
        except Skipped as reason:
            verdict, detail = "skipped", str(reason)
        except Failed as reason:
            verdict, detail = "FAILED", str(reason)
        self.done.append({"step": name, "verdict": verdict, "seconds": round(time.monotonic() - begin, 1),
                          "detail": detail, "figures": figures})
        return verdict == "ok"

    def report(self, path):
        """The table, the file, and the exit code."""
        print(f"\n{'step':<30} {'verdict':<8} {'s':>6}  detail")
        for one in self.done:
            print(f"{one['step']:<30} {one['verdict']:<8} {one['seconds']:>6.1f}  {one['detail']}")
        with open(path, "w") as out:
            json.dump({"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "steps": self.done}, out, indent=2)
        print(f"written to {path}")
        return any(one["verdict"] == "FAILED" for one in self.done)
