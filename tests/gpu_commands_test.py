"""The commands that look at cards and measure them, on simulated ones: does it work? never: how fast is it?"""

import json
import os
import subprocess
import sys
import unittest
from pathlib import Path

from rondo_testing import RONDO, RondoTest, SOURCE, run

SIMULATOR = {"LD_LIBRARY_PATH": os.environ["RONDO_GPUSIM"], "GPUSIM_DEVICES": "2"}


class GpuTest(RondoTest):
    def on_gpus(self, *arguments, env=None, **options):
        return run(*arguments, env=SIMULATOR | (env or {}), timeout=120, **options)

    def figures(self, *arguments, **options):
        path = self.folder / "figures.json"
        result = self.on_gpus(*arguments, "--json", path, **options)
        self.assertEqual(result.code, 0, result.text)
        return json.loads(path.read_text())


class Bench(GpuTest):
    def test_comm_measures_nccl_beside_mpi(self):
        figures = self.figures("bench", "comm", "--min", "64", "--max", "4K", "--rounds", "2", ranks=2)
        self.assertEqual(figures["device"], "cuda")
        self.assertEqual([row["algorithm"] for row in figures["rows"]], ["nccl", "MPI_Allreduce"] * 8)
        self.assertEqual({row["wrong"] for row in figures["rows"]}, {0})

    def test_comm_measures_host_memory_where_it_is_asked_to(self):
        figures = self.figures("bench", "comm", "--max", "64K", "--rounds", "2", "--device", "cpu", ranks=2)
        self.assertEqual(figures["device"], "cpu")
        self.assertNotIn("nccl", {row["algorithm"] for row in figures["rows"]})

    def test_kernels(self):
        figures = self.figures("bench", "kernels", "--bytes", "4K", "--rounds", "1")
        names = [row["operation"] for row in figures["rows"]]
        self.assertEqual(names[0], "copy")
        self.assertLessEqual({"quantise", "checksum", "adamw"}, set(names))

    def test_step_says_what_share_of_the_peak_it_reaches_where_that_is_known(self):
        sets = ["--set", "device.kind=cuda", "--set", "train.global_batch=4"]
        for compute, known in (("8.0", True), ("9.9", False)):
            figures = self.figures("bench", "step", self.config, "--steps", "10", *sets, env={"GPUSIM_COMPUTE": compute})
            self.assertEqual(figures["share_of_peak"] is not None, known)

    def test_the_trace_shows_buckets_on_their_way_while_backward_still_runs(self):
        """On one stream, or after backward, none would be in flight at the moment in which backward ends."""
        path = self.folder / "trace.json"
        sets = {"device.kind": "cuda", "train.global_batch": "16", "train.micro_batches": "4",
                "exchange.bucket_bytes": "4096", "model.layers": '["linear 24 gelu", "linear 24 gelu", "linear 24 gelu"]'}
        self.figures("bench", "step", self.config, "--steps", "10", "--trace", path, ranks=2,
                     *(word for key, value in sets.items() for word in ("--set", f"{key}={value}")))
        events = json.loads(path.read_text())["traceEvents"]
        for rank in (0, 1):
            mine = [event for event in events if event["pid"] == rank]
            begun = {event["id"]: event["ts"] for event in mine if event["ph"] == "b"}
            ended = {event["id"]: event["ts"] for event in mine if event["ph"] == "e"}
            backward = [event for event in mine if event["name"] == "backward"]
            steps = [(event["ts"], event["ts"] + event["dur"]) for event in mine if event["name"] == "step"]
            overlaps = 0
            for begin, end in steps:
                last = max(event["ts"] + event["dur"] for event in backward if begin <= event["ts"] <= end)
                overlaps += any(begin <= begun[bucket] < last < ended[bucket] for bucket in ended)
            self.assertGreater(overlaps, len(steps) / 4, f"rank {rank}, {len(steps)} steps")


class Profilers(GpuTest):
    def test_see_a_range_for_each_step_and_phase(self):
        heard = self.folder / "heard.txt"
        listener = Path(os.environ["RONDO_GPUSIM"]) / "libnvtx_listener.so"
        result = self.on_gpus("train", self.config, "--run-dir", self.folder / "run", "--set", "device.kind=cuda",
                              "--set", "train.max_steps=3", ranks=1,
                              env={"NVTX_INJECTION64_PATH": str(listener), "NVTX_HEARD": str(heard)})
        self.assertEqual(result.code, 0, result.text)
        open_ranges, phases = [], {}
        first, *events = heard.read_text().splitlines()
        self.assertEqual(first, "domain rondo")
        for event in events:
            kind, *name = event.split(" ")
            if kind == "pop":
                open_ranges.pop()
            elif kind == "push":
                open_ranges.append(" ".join(name[:-1]))
                if len(open_ranges) == 2:
                    phases.setdefault(open_ranges[0], []).append(open_ranges[1])
                self.assertLessEqual(len(open_ranges), 2, event)  # phases do not lie within each other
            else:
                self.assertEqual((kind, open_ranges[-1]), ("mark", "backward"))
        self.assertEqual([step for step in phases if step.startswith("step")], list(phases))
        for step in ("step 0", "step 1", "step 2"):
            trained = [phase for phase in phases[step] if phase in ("forward", "backward", "control_word", "optimizer")]
            self.assertEqual(trained[-4:], ["forward", "backward", "control_word", "optimizer"])


class Doctor(GpuTest):
    def doctor(self, code, *expected, **options):
        result = self.on_gpus("doctor", **options)
        self.assertEqual(result.code, code, result.text)
        for text in expected:
            self.assertIn(text, result.text)

    def test_names_cards_versions_and_what_they_can(self):
        self.doctor(0, "GPU 1            Simulated GPU, 16.0 GiB, compute capability 8.0", "driver 13", "NCCL 2",
                    "reaches the memory of GPU 0", "mpirun -n 2 uses all", env={"GPUSIM_COMPUTE": "8.0"})

    def test_says_in_words_what_is_wrong(self):
        self.doctor(1, "WRONG: this host has 2 GPU(s) for 3 rank(s)", ranks=3)
        self.doctor(1, "WRONG: there is a GPU, but it cannot be used", env={"GPUSIM_COMPUTE": "7.0"})
        self.doctor(0, "no bfloat16 and no tf32: they need compute capability 8.0", env={"GPUSIM_COMPUTE": "7.5"})
        self.doctor(0, "no CUDA d", env={"GPUSIM_DEVICES": "0"})


class Check(GpuTest):
    def check(self, **env):
        path = self.folder / "check.json"
        command = [sys.executable, SOURCE / "scripts/gpu-check", "--build", Path(RONDO).parent, "--tiny", "--json", path]
        done = subprocess.run(command, env=os.environ | SIMULATOR | env, capture_output=True, text=True, timeout=280)
        return done, {step["step"]: step for step in json.loads(path.read_text())["steps"]}

    def test_scripts_gpu_check_goes_through(self):
        done, steps = self.check(GPUSIM_COMPUTE="8.0")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual({step["verdict"] for step in steps.values()} - {"skipped"}, {"ok"}, done.stdout)
        self.assertIn("the same on 1, 2 card(s)", steps["digest on any number of cards"]["detail"])

    def test_scripts_gpu_check_ends_early_where_there_is_no_card(self):
        done, steps = self.check(GPUSIM_DEVICES="0")
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("no CUDA d", steps["doctor"]["detail"])


if __name__ == "__main__":
    unittest.main()
