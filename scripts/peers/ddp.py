#!/usr/bin/python3
"""The peer: PyTorch's DistributedDataParallel. Prints samples/s over all ranks, the median of the steps.

usage: ddp.py RANKS BATCH_A_RANK STEPS WIDTH WIDTH ...    for example: ddp.py 2 256 200 336 512 512 48

On gloo, one thread a rank. DDP_CUDA=float32, tf32 or bfloat16 takes NCCL and a card a rank instead, with products
of that precision and AdamW fused; with one rank it is the bare module, which spares it DDP's hooks.
"""
import os
import sys
import time

import torch
import torch.distributed
import torch.multiprocessing


CUDA = os.environ.get("DDP_CUDA")


def train(rank, ranks, batch, steps, widths, port, result):
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.distributed.init_process_group("nccl" if CUDA else "gloo", rank=rank, world_size=ranks)
    device = torch.device("cuda", rank) if CUDA else torch.device("cpu")
    torch.backends.cuda.matmul.allow_tf32 = CUDA == "tf32"
    layers = []
    for a, b in zip(widths, widths[1:]):
        layers += [torch.nn.Linear(a, b), torch.nn.GELU()]
    model = torch.nn.Sequential(*layers[:-1]).to(device)
    if not CUDA or ranks > 1:
        model = torch.nn.parallel.DistributedDataParallel(model)
    how = {"fused": True} if CUDA else {"foreach": True}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, **how)
    x, y = (torch.randn(batch * 8, width, device=device) for width in (widths[0], widths[-1]))
    times = []
    for step in range(steps + steps // 10):
        begin = time.perf_counter()
        part = slice(step % 8 * batch, (step % 8 + 1) * batch)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=CUDA == "bfloat16"):
            loss = torch.nn.functional.mse_loss(model(x[part]), y[part])
        loss.backward()
        optimizer.step()
        if CUDA:
            loss.item()  # a trainer looks at its loss, and so waits for the card
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
