"""Python's pools of processes, for bench_process_pool.

    mppool.py apply|imap|map|executor WORKERS TASKS

Prints how many tasks were done and in how many seconds.
"""
import concurrent.futures
import multiprocessing
import sys
import time


def square(n):
    return n * n


def run(how, family, workers, tasks):
    """Does the tasks in one of the ways; returns the results and the seconds."""
    if how == 'executor':
        with concurrent.futures.ProcessPoolExecutor(workers, mp_context=family) as executor:
            executor.submit(square, 1).result()
            began = time.monotonic()
            futures = [executor.submit(square, n) for n in range(tasks)]
            return [future.result() for future in futures], time.monotonic() - began
    with family.Pool(workers) as pool:
        pool.apply(square, (1,))
        began = time.monotonic()
        if how == 'apply':
            results = [pool.apply(square, (n,)) for n in range(tasks)]
        elif how == 'imap':
            results = list(pool.imap(square, range(tasks)))
        else:
            results = pool.map(square, range(tasks))
        return results, time.monotonic() - began


def main():
    how, workers, tasks = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    results, seconds = run(how, multiprocessing.get_context('fork'), workers, tasks)
    if results != [n * n for n in range(tasks)]:
        sys.exit('mppool: a result is wrong')
    print(tasks, seconds)


if __name__ == '__main__':
    main()
