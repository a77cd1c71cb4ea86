"""Every PTX instruction of the kernels is executed by the parity suite or a short training on simulated cards, but for
the ones that tests/gpusim/uncovered.txt gives a reason for. A gap is closed by a shape in the parity suite."""

import os
import subprocess
import sys
import unittest

from rondo_testing import RondoTest, SOURCE

SIMULATOR = SOURCE / "tests/gpusim"


class Coverage(RondoTest):
    def test_every_instruction_of_the_kernels_runs(self):
        env = {"LD_LIBRARY_PATH": os.environ["RONDO_GPUSIM"], "GPUSIM_COVERAGE": str(self.folder / "coverage"),
               "GPUSIM_COMPUTE": "8.0", "GPUSIM_DEVICES": "2", "RONDO_NEEDS_CUDA": "1"}
        suite = subprocess.run([os.environ["RONDO_PARITY"]], env=os.environ | env, capture_output=True, text=True,
                               timeout=300)
        self.assertEqual(suite.returncode, 0, suite.stdout + suite.stderr)
        self.trained("run", ranks=2, env=env, timeout=300, sets={
            "device.kind": "cuda", "train.max_steps": 2, "train.global_batch": 16, "energy.test_weeks": 1,
            "energy.validation_weeks": 1, "model.layers": ["linear 8 gelu", "layer_norm", "dropout 0.1"]})
        left = subprocess.run([sys.executable, SIMULATOR / "uncovered.py", self.folder / "coverage",
                               "--except", SIMULATOR / "uncovered.txt"], capture_output=True, text=True)
        self.assertEqual(left.returncode, 0, left.stdout + left.stderr)
        instructions = int(left.stdout.splitlines()[-1].split()[2])
        self.assertGreater(instructions, 3000, left.stdout)  # something was measured


if __name__ == "__main__":
    unittest.main()
