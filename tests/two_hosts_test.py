"""The test bench for several hosts: what the two hosts share, what a link carries, and that nothing is left."""

import json
import subprocess
import unittest

from rondo_testing import PATIENCE, RONDO, RondoTest, settings
from two_hosts import PAYLOAD, SOURCE, on_two_hosts, skip_where_impossible

LINK = 200e6  # bit/s; a rate at which the link is all that counts
# Runs a command, but stops the process of one rank in its tracks after a while.
STOP = """if [ $OMPI_COMM_WORLD_RANK = %d ]; then "$@" & sleep 2; kill -STOP $!; wait; else exec "$@"; fi"""


def namespaces():
    return subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, timeout=30).stdout


class TwoHosts(RondoTest):
    def run_on(self, ranks, *command, code=0, **options):
        done = on_two_hosts(ranks, *command, **options)
        self.assertEqual(done.code, code, done.text)
        return done.text

    def test_ranks_are_where_they_were_asked_to_be(self):
        for ranks, hosts in ((2, "ab"), (4, "aabb"), (3, "aab"), ("1,3", "abbb")):
            text = self.run_on(ranks, "sh", "-c", "echo $OMPI_COMM_WORLD_RANK $(hostname)")
            self.assertEqual(sorted(text.split("\n"))[1:], [f"{r} host-{h}" for r, h in enumerate(hosts)])

    def test_hosts_share_no_memory_and_no_processes(self):
        text = self.run_on(2, "sh", "-c", "touch /dev/shm/$(hostname); sleep 0.5; echo shm: $(ls /dev/shm | grep host-)"
                                          "; echo sees: $(ls /proc | grep -c '^[0-9]')")
        self.assertEqual([line for line in sorted(text.splitlines()) if "shm" in line], ["shm: host-a", "shm: host-b"])
        self.assertTrue(all(int(line.split()[1]) < 20 for line in text.splitlines() if "sees" in line), text)

    def test_the_link_has_the_rate_that_was_asked_for(self):
        sockets = SOURCE / "scripts/peers/sockets.py"
        rate = float(self.run_on(2, sockets, 4, rate="200mbit")) * 8 / 200e6 / PAYLOAD
        self.assertLess(rate, 1.05)
        self.assertGreater(rate, 0.8)
        self.assertGreater(float(self.run_on(2, sockets, 4)) * 8, 400e6)

    def test_exit_codes_and_nothing_is_left(self):
        before = namespaces()
        self.run_on(2, "sh", "-c", "exit 3", code=3)
        self.assertIn(f"not done after {round(PATIENCE)} s", self.run_on(2, "sleep", "61.7", timeout=1, code=124))
        self.assertIn("-n 1: give two", self.run_on(1, "true", code=2))
        self.assertEqual(namespaces(), before)
        left = subprocess.run(["ps", "axo", "args"], capture_output=True, text=True, timeout=30).stdout
        self.assertNotIn("sleep 61.7", left)

    def times(self, ranks, size, *algorithms, env=None):
        """Microseconds of an int32 all-reduce over a slow link, by algorithm."""
        path = self.folder / "comm.json"
        chosen = [word for name in algorithms for word in ("--algorithm", name)]
        self.run_on(ranks, RONDO, "bench", "comm", "--min", size, "--max", size, "--rounds", 5, *chosen,
                    "--json", path, rate="200mbit", env=env)
        rows = json.loads(path.read_text())["rows"]
        self.assertEqual({row["wrong"] for row in rows}, {0})
        return {row["algorithm"]: row["time_us"] for row in rows if row["type"] == "int32"}

    def test_a_ring_fills_the_link_and_a_hierarchy_needs_less_of_it(self):
        """The bound of n ranks on two hosts: 2 (n - 1) / n of the bytes in each direction for a ring, all of them once
        for the hierarchy."""
        bound = (4 << 20) * 8 / (LINK * PAYLOAD) * 1e6  # microseconds
        loose = bound / 0.65  # half-duplex, as Open MPI is by itself, would take twice the bound
        self.assertLess(self.times(2, "4M", "ring")["ring"], loose)
        four = self.times(4, "4M", "ring", "hierarchical")
        self.assertLess(four["ring"], 1.5 * loose)
        self.assertLess(four["hierarchical"], min(loose, four["ring"]))

    def test_what_the_user_has_asked_of_open_mpi_stays(self):
        small = {"OMPI_MCA_btl_tcp_eager_limit": "65536"}  # with which a ring is far from the link's rate
        bound = (1 << 20) * 8 / (LINK * PAYLOAD) * 1e6
        self.assertGreater(self.times(2, "1M", "ring", env=small)["ring"], bound / 0.8)

    def test_a_rank_that_stops_ends_the_run_within_the_deadline(self):
        for algorithm, ranks, stopped in (("ring", 2, 1), ("tree", 3, 2), ("hierarchical", 4, 3), ("auto", 4, 1)):
            with self.subTest(algorithm=algorithm):
                sets = {"exchange.algorithm": algorithm, "exchange.timeout_s": 2.0, "train.max_steps": 10**6}
                text = self.run_on(ranks, "sh", "-c", STOP % stopped, "sh", RONDO, "train", self.config, "--run-dir",
                                   self.folder / algorithm, *settings(sets), code=70, timeout=20)
                self.assertRegex(text, r"rondo: .*rank \d waited 2\.\d s for .*a rank is dead or stuck")


if __name__ == "__main__":
    skip_where_impossible()
    unittest.main()
