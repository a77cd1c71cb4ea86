"""What no run with GPUSIM_COVERAGE=FOLDER has executed: instructions, in runs of neighbours.

    uncovered.py FOLDER [WORD] [--except FILE]

Lists them by kernel, or only for kernels whose demangled name contains WORD. FILE names runs that may stay, a line
each: a regular expression for the kernel, one for the opcodes of a run, how many such runs a kernel may have, and the
reason, with " | " between. The exit code is 1 if any other are left.
"""
import argparse
import itertools
import pathlib
import re
import subprocess
import sys


def kernels(folder):
    """(demangled name, [(executed, text), ...]) of every kernel."""
    texts = [file.read_text().splitlines() for file in sorted(pathlib.Path(folder).glob("*.cov"))]
    names = "\n".join(text[0].split()[0] for text in texts)
    names = subprocess.run(["c++filt"], input=names, capture_output=True, text=True, check=True).stdout.splitlines()
    for name, (_, *lines) in zip(names, texts):
        yield name, [(line.startswith("1 "), line[2:]) for line in lines]


def allowed(path):
    lines = [line for line in pathlib.Path(path).read_text().splitlines() if line and not line.startswith("#")]
    rules = [[part.strip() for part in line.split(" | ")] for line in lines]
    return [(re.compile(kernel), re.compile(opcodes), int(most)) for kernel, opcodes, most, _ in rules]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("word", nargs="?", default="")
    parser.add_argument("--except", dest="exceptions")
    options = parser.parse_args()
    rules = allowed(options.exceptions) if options.exceptions else []
    missing = total = excused = 0
    for name, lines in kernels(options.folder):
        if options.word not in name:
            continue
        left, may_stay = [], [most if kernel.search(name) else 0 for kernel, _, most in rules]
        for executed, run in itertools.groupby(lines, key=lambda line: line[0]):
            texts = [text for _, text in run]
            if executed:
                continue
            opcodes = " ".join(text.split()[1] for text in texts)
            rule = next((i for i, (_, known, _) in enumerate(rules) if may_stay[i] and known.fullmatch(opcodes)), None)
            if rule is None:
                left += texts
            else:
                may_stay[rule] -= 1
                excused += len(texts)
        missing, total = missing + len(left), total + len(lines)
        if left:
            print(f"{name}: {len(left)} of {len(lines)} never executed")
            print("".join(f"  PTX line {text}\n" for text in left), end="")
    print(f"{missing} of {total} instructions were never executed" + (f", and {excused} that may stay" if rules else ""))
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
