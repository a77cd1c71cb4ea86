#!/usr/bin/python3
"""The peer: all-reduce in place by gloo through torch.distributed (Debian: python3-torch), over TCP between hosts.

usage: mpirun -n 2 scripts/peers/gloo.py [MIN_BYTES [MAX_BYTES [ROUNDS]]]     sizes grow by factors of 4
       scripts/two-hosts -n 4 --rate 1gbit -- scripts/peers/gloo.py 1024 16777216 5
Columns as `rondo bench comm`: bytes, algorithm, type, median us of the slowest rank, algbw, busbw in GB/s.
"""
import os
import statistics
import sys
import time
from datetime import timedelta

import torch
import torch.distributed as dist


def main():
    least, most, rounds = (int(a) for a in [*sys.argv[1:], *["1024", "67108864", "11"][len(sys.argv) - 1:]])
    rank, ranks = int(os.environ["OMPI_COMM_WORLD_RANK"]), int(os.environ["OMPI_COMM_WORLD_SIZE"])
    hosts = os.environ.get("TWO_HOSTS", "127.0.0.1").split(",")
    os.environ.update(MASTER_ADDR=hosts[0], MASTER_PORT=os.environ.get("MASTER_PORT", "29511"),
                      GLOO_SOCKET_IFNAME="eth0" if "TWO_HOSTS" in os.environ else "lo")
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=ranks, timeout=timedelta(seconds=60))
    size = least
    while size <= most:
        words, times = torch.ones(size // 4), []
        for _ in range(rounds + 2):
            words.fill_(1)
            dist.barrier()
            begin = time.perf_counter()
            dist.all_reduce(words)
            took = torch.tensor([time.perf_counter() - begin], dtype=torch.float64)
            dist.all_reduce(took, op=dist.ReduceOp.MAX)
            times.append(took.item())
        if rank == 0:
            seconds = statistics.median(times[2:])
            algbw = size / seconds * 1e-9
            print(f"{size:>12} {'gloo':>14} {'float32':>8} {seconds * 1e6:>10.1f} {algbw:>8.2f} "
                  f"{algbw * 2 * (ranks - 1) / ranks:>8.2f}  {'' if words.eq(ranks).all() else 'wrong'}", flush=True)
        size *= 4
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
