"""Which PTX instructions did no run execute?

    GPUSIM_COVERAGE=FOLDER LD_LIBRARY_PATH=... program; uncovered.py FOLDER [WORD]

Lists them by kernel, or only for kernels whose demangled name contains WORD; the exit code is 1 if there are any.
"""
import pathlib
import subprocess
import sys


def main():
    files = sorted(pathlib.Path(sys.argv[1]).glob("*.cov"))
    word = sys.argv[2] if len(sys.argv) > 2 else ""
    texts = [file.read_text().splitlines() for file in files]
    names = "\n".join(text[0].split()[0] for text in texts)
    names = subprocess.run(["c++filt"], input=names, capture_output=True, text=True, check=True).stdout.splitlines()
    missing = total = 0
    for name, (_, *lines) in zip(names, texts):
        if word not in name:
            continue
        never = [line[2:] for line in lines if line.startswith("0 ")]
        missing, total = missing + len(never), total + len(lines)
        if never:
            print(f"{name}: {len(never)} of {len(lines)} never executed")
            print("".join(f"  PTX line {line}\n" for line in never), end="")
    print(f"{missing} of {total} instructions were never executed")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
