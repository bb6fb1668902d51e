"""Python's multiprocessing.Pipe, for bench_connection.

    mppipe.py ping|stream SIZE COUNT

Prints how many messages went there and back, or one way, and in how many seconds. The two processes
are on two cores, as the others of that benchmark.
"""
import multiprocessing
import os
import sys
import time

CORES = os.sched_getaffinity(0)


def pin(side):
    cores = sorted(CORES)
    os.sched_setaffinity(0, {cores[side % len(cores)]})


def answer(connection, n):
    pin(1)
    for _ in range(n):
        connection.send_bytes(connection.recv_bytes())


def send(connection, size, n):
    pin(1)
    message = bytes(size)
    for _ in range(n):
        connection.send_bytes(message)


def main():
    how, size, n = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    family = multiprocessing.get_context('fork')
    ping = how == 'ping'
    ours, theirs = family.Pipe(duplex=ping)
    child = family.Process(target=answer, args=(theirs, n)) if ping else family.Process(
        target=send, args=(theirs, size, n))
    child.start()
    pin(0)
    message = bytes(size)
    began = time.monotonic()
    for _ in range(n):
        if ping:
            ours.send_bytes(message)
        if len(ours.recv_bytes()) != size:
            sys.exit('mppipe: a wrong message')
    ended = time.monotonic()
    child.join()
    print(n, ended - began)


if __name__ == '__main__':
    main()
