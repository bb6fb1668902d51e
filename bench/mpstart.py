"""Python's processes, for bench_process_start.

    mpstart.py fork|spawn|forkserver MEGABYTES COUNT

Prints how many processes that do nothing were started and joined by a parent of that size, and in how
many seconds.
"""
import multiprocessing
import sys
import time


def nothing():
    pass


def run(family, n):
    for _ in range(n):
        process = family.Process(target=nothing)
        process.start()
        process.join()
        if process.exitcode != 0:
            sys.exit('mpstart: a process failed')


def main():
    how, megabytes, n = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    family = multiprocessing.get_context(how)
    held = bytearray(b'x') * (megabytes << 20)
    run(family, 1)  # the server is there
    began = time.monotonic()
    run(family, n)
    print(n, time.monotonic() - began, flush=True)
    del held


if __name__ == '__main__':
    main()
