"""Coverage is merged over runs: what one run leaves out, another one may add.

    coverage_test.py PROGRAM
"""
import os
import pathlib
import subprocess
import sys
import tempfile


def main():
    here = pathlib.Path(__file__).parent
    with tempfile.TemporaryDirectory() as folder:
        missing = []
        for case in ("axpy_odd_size", "divergent_switch", "axpy_odd_size"):
            environment = dict(os.environ, GPUSIM_COVERAGE=folder)
            subprocess.run([sys.argv[1], case], env=environment, check=True, stdout=subprocess.DEVNULL)
            report = subprocess.run([sys.executable, here / "uncovered.py", folder], capture_output=True, text=True).stdout
            missing.append(int(report.splitlines()[-1].split()[0]))
            if "axpy(float*, float const*, float, int):" in report:
                print("all of axpy has run, but not for the report:\n" + report)
                return 1
        rules = pathlib.Path(folder) / "rules.txt"
        for most, code in ((1000, 0), (1, 1)):  # all runs of neighbours may stay, or one of each kernel
            rules.write_text(f"# a comment\n. | .* | {most} | a reason\n")
            command = [sys.executable, here / "uncovered.py", folder, "--except", rules]
            if (got := subprocess.run(command, stdout=subprocess.DEVNULL).returncode) != code:
                print(f"uncovered.py gives {got} where {most} run(s) of each kernel may stay")
                return 1
        print(f"never executed after each run: {missing}")
        return 0 if missing[0] > missing[1] == missing[2] > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
