#!/usr/bin/python3
"""The peer: PyTorch's DistributedDataParallel on gloo, one thread a rank. Prints samples/s over all ranks.

usage: ddp.py RANKS BATCH_A_RANK STEPS WIDTH WIDTH ...    for example: ddp.py 2 256 200 336 512 512 48
"""
import os
import sys
import time

import torch
import torch.distributed
import torch.multiprocessing


def train(rank, ranks, batch, steps, widths, port, result):
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.distributed.init_process_group("gloo", rank=rank, world_size=ranks)
    layers = []
    for a, b in zip(widths, widths[1:]):
        layers += [torch.nn.Linear(a, b), torch.nn.GELU()]
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Sequential(*layers[:-1]))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, foreach=True)
    x, y = torch.randn(batch * 8, widths[0]), torch.randn(batch * 8, widths[-1])
    times = []
    for step in range(steps + steps // 10):
        begin = time.perf_counter()
        part = slice(step % 8 * batch, (step % 8 + 1) * batch)
        optimizer.zero_grad(set_to_none=True)
        torch.nn.functional.mse_loss(model(x[part]), y[part]).backward()
        optimizer.step()
        times.append(time.perf_counter() - begin)
    times = sorted(times[steps // 10:])
    if rank == 0:
        result.put(ranks * batch / times[len(times) // 2])
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    ranks, batch, steps = (int(a) for a in sys.argv[1:4])
    context = torch.multiprocessing.get_context("spawn")
    result = context.SimpleQueue()
    with __import__("socket").socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    torch.multiprocessing.spawn(
        train, (ranks, batch, steps, [int(a) for a in sys.argv[4:]], port, result), nprocs=ranks)
    print(result.get())
