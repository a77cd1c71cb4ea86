"""A program built with CUDA where no card can be used: it starts, says once why, and computes on the CPU."""
import unittest

from rondo_testing import RondoTest, run, settings


class CudaStartTest(RondoTest):
    def setUp(self):
        super().setUp()
        # Where there is a card, it is hidden.
        self.hidden = {"CUDA_VISIBLE_DEVICES": ""}

    def test_auto_takes_the_cpu_and_says_so_once(self):
        for ranks in None, 2:
            run_dir = f"run{ranks}"
            result = self.train(run_dir, sets={"device.kind": "auto", "train.max_steps": 1}, ranks=ranks, env=self.hidden)
            self.assertEqual(result.code, 0, result.text)
            self.assertEqual(len(result.lines('device.kind = "auto" takes the cpu: no CUDA d')), 1, result.text)
            self.assertIn("on cpu", result.text)
            self.assertIn("kind = 'cpu'", (self.folder / run_dir / "config.toml").read_text())

    def test_cuda_is_refused_with_the_reason(self):
        result = run("train", self.config, "--run-dir", self.folder / "run", *settings({"device.kind": "cuda"}),
                     env=self.hidden)
        self.assertEqual(result.code, 2, result.text)
        self.assertRegex(result.text, r'device\.kind = "cuda": no CUDA d.*; use "cpu" or "auto"')

    def test_doctor_names_the_reason(self):
        self.assertRegex(self.succeed("doctor", env=self.hidden).text, r"cpu \(no cuda: no CUDA d")


if __name__ == "__main__":
    unittest.main()
