"""The test bench for several hosts: what the two hosts share, what a link carries, and that nothing is left."""

import subprocess
import unittest

from two_hosts import PAYLOAD, SOURCE, on_two_hosts, skip_where_impossible


def namespaces():
    return subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, timeout=30).stdout


class TwoHosts(unittest.TestCase):
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
        self.assertIn("not done after 1 s", self.run_on(2, "sleep", "61.7", timeout=1, code=124))
        self.assertIn("-n 1: give two", self.run_on(1, "true", code=2))
        self.assertEqual(namespaces(), before)
        left = subprocess.run(["ps", "axo", "args"], capture_output=True, text=True, timeout=30).stdout
        self.assertNotIn("sleep 61.7", left)


if __name__ == "__main__":
    skip_where_impossible()
    unittest.main()
