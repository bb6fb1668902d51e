#!/usr/bin/env python3
"""Runs the tests many times over on a busy machine, to find those that fail now and then.

    tests/soak.py [--times=N] [--mode=MODE] [--jobs=N] [PROGRAM[/CASE]]...

Each program runs N times (200), twice as many at once as there are processors, beside as many that
only spin; every fourth time on one processor only, every fourth with freed and fresh memory filled.
Without PROGRAM: all that are compiled; scripts only when they are named. MODE is plain, asan or tsan. The first output of each kind of
failure is shown in full. The last line is "N passed, N failed"; the exit status is 0 when none failed.
"""

import concurrent.futures
import os
import signal
import subprocess
import sys
import time

import run


def variations(command, env, script):
    """The ways in which a run differs from the next."""
    cpu = min(os.sched_getaffinity(0))
    short = os.path.join(env["MOTET_BUILD"], "tests", "cut_short.so")
    # The tools that a script uses are not ours.
    cut = {"LD_PRELOAD": short} if os.path.exists(short) and not script else {}
    return [
        (["taskset", "-c", str(cpu)] + command, env),
        (command, dict(env, MALLOC_PERTURB_="165")),
        (command, dict(env, **cut)),
        (["nice", "-n", "10"] + command, env),
    ]


def failures_of(output):
    """The cases that failed, as the harness names them."""
    found = [line.split(":")[0] for line in output.splitlines() if line.startswith("FAIL ")]
    return ", ".join(found) or "the program"


def soak(program, mode, times, pool, totals):
    name, command, (limit, _) = program
    ways = variations(command, run.environment(mode), name.endswith(".sh"))
    begin = time.monotonic()
    futures = [pool.submit(run.run, *ways[i % 4], 3 * limit)
               for i in range(times)]
    seen = {}
    for number, future in enumerate(concurrent.futures.as_completed(futures), 1):
        status, output = future.result()
        if run.count(status, output)[1]:
            what = failures_of(output)
            seen[what] = seen.get(what, 0) + 1
            if seen[what] == 1:
                run.say(f"FAIL {mode} {name}: {what}")
                run.say("".join("     | " + line + "\n" for line in output.splitlines()))
        if sys.stdout.isatty():
            print(f"\r{name} {number}/{times} ", end="", flush=True)
    failed = sum(seen.values())
    totals.passed += times - failed
    totals.failed += failed
    word = "FAIL" if failed else "ok  "
    kinds = "; ".join(f"{what} {n} times" for what, n in seen.items())
    run.say(f"{word} {mode} {name:24} {times - failed} of {times} "
            f"({time.monotonic() - begin:.0f} s) {kinds}")


def main(arguments):
    options = dict(a[2:].split("=", 1) for a in arguments if a.startswith("--") and "=" in a)
    patterns = [a for a in arguments if not a.startswith("-")]
    if set(options) - {"times", "mode", "jobs"} or any(
            a.startswith("-") and "=" not in a for a in arguments):
        sys.exit(__doc__)
    mode, times = options.get("mode", "plain"), int(options.get("times", 200))
    cpus = len(os.sched_getaffinity(0))
    script = run.ROOT / "scripts" / "build.sh"
    if subprocess.run([str(script), mode], stdin=subprocess.DEVNULL).returncode != 0:
        sys.exit(1)
    totals = run.Totals()
    busy = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(cpus)]
    pool = concurrent.futures.ThreadPoolExecutor(int(options.get("jobs", 2 * cpus)))
    signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(1))
    try:
        for program in run.programs(mode, patterns):
            if patterns or not program[0].endswith(".sh"):
                soak(program, mode, times, pool, totals)
    finally:
        pool.shutdown(cancel_futures=True)
        for process in busy:
            process.kill()
            process.wait()
    run.say(f"{totals.passed} passed, {totals.failed} failed")
    return 1 if totals.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
