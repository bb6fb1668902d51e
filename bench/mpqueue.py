"""Python's multiprocessing.Queue, for bench_process_queue.

    mpqueue.py PRODUCERS CONSUMERS BOUND ITEMS

Prints how many items went through and in how many seconds.
"""
import multiprocessing
import sys
import time


def produce(queue, start, n):
    start.wait()
    for number in range(1, n + 1):
        queue.put(number)


def consume(queue, start, n, results):
    start.wait()
    total = 0
    for _ in range(n):
        total += queue.get()
    results.put((total, time.monotonic()))


def main():
    producers, consumers, bound, items = (int(word) for word in sys.argv[1:])
    family = multiprocessing.get_context('fork')
    items = -(-items // 4) * 4
    each = items // producers
    queue = family.Queue(bound)
    results = family.Queue()
    start = family.Barrier(producers + consumers + 1)
    children = [family.Process(target=produce, args=(queue, start, each))
                for _ in range(producers)]
    children += [family.Process(target=consume, args=(queue, start, items // consumers, results))
                 for _ in range(consumers)]
    for child in children:
        child.start()
    start.wait()
    began = time.monotonic()
    ends = [results.get() for _ in range(consumers)]
    for child in children:
        child.join()
    if sum(total for total, _ in ends) != producers * each * (each + 1) // 2:
        sys.exit('mpqueue: lost or doubled')
    print(items, max(ended for _, ended in ends) - began)


if __name__ == '__main__':
    main()
