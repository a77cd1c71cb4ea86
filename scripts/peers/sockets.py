#!/usr/bin/python3
"""The yardstick of a link: plain TCP sockets, both directions at once. Prints bytes/s of payload in each direction.

usage: scripts/two-hosts -n 2 --rate 1gbit -- scripts/peers/sockets.py [MIB [ROUNDS]]    prints the median of rounds
"""
import os
import socket
import statistics
import sys
import threading
import time

PORT, PIECE, DEADLINE = 7077, 1 << 18, 30


def connect(rank, address):
    if rank == 0:
        with socket.create_server((address, PORT)) as server:
            server.settimeout(DEADLINE)
            return server.accept()[0]
    for _ in range(DEADLINE * 20):
        try:
            return socket.create_connection((address, PORT), timeout=DEADLINE)
        except ConnectionRefusedError:
            time.sleep(0.05)
    sys.exit("sockets.py: nobody listens")


def receive(link, size, into):
    while size:
        got = link.recv_into(into, min(size, len(into)))
        if got == 0:
            sys.exit("sockets.py: the peer has gone")
        size -= got


def main():
    size = int(float(sys.argv[1]) * (1 << 20)) if len(sys.argv) > 1 else 16 << 20
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    rank = int(os.environ["OMPI_COMM_WORLD_RANK"])
    link = connect(rank, os.environ["TWO_HOSTS"].split(",")[0])
    link.settimeout(DEADLINE)
    data, into, times = bytes(PIECE), bytearray(PIECE), []

    def send():
        for at in range(0, size, PIECE):
            link.sendall(memoryview(data)[:min(PIECE, size - at)])

    for _ in range(rounds):
        link.sendall(b"!")  # both are there
        receive(link, 1, into)
        begin = time.perf_counter()
        sender = threading.Thread(target=send)
        sender.start()
        receive(link, size, into)
        sender.join()
        times.append(time.perf_counter() - begin)
    if rank == 0:
        print(f"{size / statistics.median(times):.0f}")


if __name__ == "__main__":
    main()
