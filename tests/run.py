#!/usr/bin/env python3
"""Builds and runs the tests in all modes, and counts cases.

    tests/run.py [--mode=MODE]... [-v] [PROGRAM[/CASE]]...

Modes: plain (gcc), asan (AddressSanitizer and UndefinedBehaviorSanitizer, gcc), tsan
(ThreadSanitizer, clang), clang (a build with warnings as errors, nothing run). Without --mode: all.
PROGRAM is a file in tests/ without its suffix, or the beginning of one; with /CASE only the cases
that begin so. Programs run side by side, one a processor and one more, as most wait now and then; the
output of those that fail is shown in full. The last line is "N passed, N failed"; the exit status is 0
when none failed.

Programs are tests/test_*.c, which the harness makes to print "cases: N passed, N failed, N skipped"
last, tests/models/*.c (plain mode only), which are run under all schedules by the scheduler of
src/check/ and are named model_*, and tests/test_*.sh: exit status 0, 1 or 77 for skipped, and perhaps "N passed, N failed" in
the last line. Scripts run in plain mode, unless a line "# modes: plain asan" in them says more; they
find MOTET_BUILD (the build folder), MOTET_BIN (the command) and MOTET_EXAMPLES in the environment.

No program runs for longer than its limit, nor does one that has not come to its main() in two minutes, as
when a constructor hangs. It is killed then with all that it has started, which is named.
"""

import concurrent.futures
import os
import pathlib
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
import uuid

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("BUILD") or "build")
BUILD = BUILD if BUILD.is_absolute() else ROOT / BUILD
MODES = ["plain", "asan", "tsan", "clang"]
SCRIPT_LIMIT = 240  # seconds
BEGIN_LIMIT = 120  # until main()
KILL_LIMIT = 10  # until what was killed is gone
BEGUN = b"begun\n"  # what main() then says; see tests/harness.c, src/check/model.c
# The harness limits each case; this is against all else that hangs.
PROGRAM_LIMIT = 900 * max(1, int(os.environ.get("MOTET_STRESS") or 1),
                          20 if os.environ.get("MOTET_SWEEP") else 1,
                          int(os.environ.get("MOTET_SOAK_MINUTES") or 1))
LIMITS = PROGRAM_LIMIT, BEGIN_LIMIT

SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:detect_stack_use_after_return=0",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "die_after_fork=0:halt_on_error=1:second_deadlock_stack=1",
}


class Totals:
    passed = failed = skipped = 0


def say(text):
    print(text, flush=True)


def without_randomization():
    """ThreadSanitizer wants its fixed addresses free: some kernels place mappings there."""
    prefix = ["setarch", os.uname().machine, "-R"]
    try:
        if subprocess.run(prefix + ["true"], capture_output=True).returncode == 0:
            return prefix
    except OSError:
        pass
    return []


def environment(mode):
    env = dict(os.environ)
    for name, value in SANITIZERS.items():
        env[name] = value + (":" + env[name] if env.get(name) else "")
    build = BUILD / mode
    env["MOTET_MODE"] = mode
    env["MOTET_BUILD"] = str(build)
    env["MOTET_BIN"] = str(build / "motet")
    env["MOTET_EXAMPLES"] = str(build / "examples")
    return env


def modes_of(script):
    for line in script.read_text().splitlines():
        if line.startswith("# modes:"):
            return line.split(":", 1)[1].split()
    return ["plain"]


def programs(mode, patterns):
    """(name, command, limits) of each chosen program; limits: for all of it, and until main()."""
    found = []
    paths = sorted((ROOT / "tests").glob("test_*"))
    if mode == "plain":
        paths += sorted((ROOT / "tests" / "models").glob("*.c"))
    for path in paths:
        if path.suffix not in (".c", ".sh"):
            continue
        model = path.parent.name == "models"
        name, cases = "model_" + path.stem if model else path.stem, []
        if patterns:
            wanted = [p for p in patterns if name.startswith(p.split("/", 1)[0])]
            if not wanted:
                continue
            if all("/" in p for p in wanted):
                cases = [p.split("/", 1)[1] for p in wanted]
        if model:
            program = BUILD / mode / "tests" / "models" / name
            found.append((name, [str(program)] + cases, LIMITS))
        elif path.suffix == ".c":
            prefix = without_randomization() if mode == "tsan" else []
            command = prefix + [str(BUILD / mode / "tests" / name)] + cases
            found.append((name, command, LIMITS))
        elif mode in modes_of(path):
            shell = "bash" if path.read_text().startswith("#!/bin/bash") else "sh"
            found.append((name + ".sh", [shell, str(path)], (SCRIPT_LIMIT, None)))
    return found


def targets(chosen, patterns):
    """What to build for them: with patterns no more than is needed, so that a file that somebody
    is in the middle of writing is not in the way."""
    if not patterns or any(name.endswith(".sh") for name, _, _ in chosen):
        return []
    return [("tests/models/" if name.startswith("model_") else "tests/") + name
            for name, _, _ in chosen]


def process_table():
    """{pid: (parent, session)} of all that have not ended."""
    table = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", "rb") as stat:
                    state, parent, _, session = stat.read().rsplit(b")", 1)[1].split()[:4]
            except OSError:
                continue
            if state not in b"ZX":
                table[int(entry)] = int(parent), int(session)
    return table


def has_mark(pid, mark):
    try:
        with open(f"/proc/{pid}/environ", "rb") as environ:
            return mark in environ.read().split(b"\0")
    except OSError:
        return False


def started_by(root, mark):
    """What there is of a test whose first process is `root`: all that are in its session, or have the mark
    in their environment, and their descendants."""
    table = process_table()
    found = {pid for pid, (_, session) in table.items() if session == root or has_mark(pid, mark)}
    more = found
    while more:
        more = {pid for pid, (parent, _) in table.items() if parent in more} - found
        found |= more
    return sorted(found)


def describe(pid):
    def read(name):
        try:
            with open(f"/proc/{pid}/{name}", "rb") as file:
                return file.read().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            return ""
    return f"process {pid}: {read('cmdline')[:200]} (sleeps in {read('wchan') or '?'})"


def leftovers(root, mark, patience):
    """What a test has left after a while, in words; it is killed."""
    end = time.monotonic() + patience
    while started_by(root, mark) and time.monotonic() < end:
        time.sleep(0.02)
    lines, named = "", set()
    end = time.monotonic() + KILL_LIMIT
    while pids := started_by(root, mark):
        if time.monotonic() > end:
            return lines + "which could not be killed\n"
        for pid in pids:
            if pid not in named:
                named.add(pid)
                lines += f"left {describe(pid)}\n"
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        time.sleep(0.02)
    return lines


def overdue(pid, log, limit, begins):
    """Waits until the process has ended, which nobody is told yet, so that its number stays its own; or
    which of its limits has passed."""
    start = time.monotonic()
    pidfd = os.pidfd_open(pid)
    try:
        for seconds, complaint in ((begins, "has not come to main()"), (limit, "ran out of time")):
            if not seconds or seconds > limit:
                continue
            if select.select([pidfd], [], [], max(0, start + seconds - time.monotonic()))[0]:
                return ""
            if seconds == limit or not os.pread(log.fileno(), 1, 0):
                return f"{complaint} after {seconds} seconds\n"
    finally:
        os.close(pidfd)


def run(command, env, limit, begins=None):
    """The exit status (None: too late, or not alone) and what it printed. `begins`: how many seconds it
    may take to print anything."""
    name = f"MOTET_TEST_RUN={uuid.uuid4()}"
    env = dict(env, MOTET_TEST_RUN=name.split("=")[1])
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=subprocess.STDOUT, env=env, cwd=ROOT,
                                   start_new_session=True)
        late = overdue(process.pid, log, limit, begins)
        left = late + leftovers(process.pid, name.encode(), 0 if late else 5)
        try:
            status = process.wait(timeout=KILL_LIMIT)
        except subprocess.TimeoutExpired:
            status = None
        log.seek(0)
        output = log.read().removeprefix(BEGUN).decode(errors="replace")
    if left:
        status = None
        output = left + output
    return status, output


def count(status, output):
    """(passed, failed, skipped) from the last line, or from the status if it has none."""
    lines = output.strip().splitlines()
    match = lines and re.search(r"(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", lines[-1])
    if match:
        passed, failed, skipped = (int(number or 0) for number in match.groups())
    else:
        passed, failed, skipped = int(status == 0), 0, int(status == 77)
    if status not in (0, 77) and failed == 0:
        failed = 1
    return passed, failed, skipped


def run_mode(mode, patterns, verbose, totals):
    say(f"== {mode}: building")
    begin = time.monotonic()
    chosen = programs(mode, patterns)
    if patterns and not chosen:
        if mode == "plain":
            say("FAIL no such test")
            totals.failed += 1
        return
    status = subprocess.run([str(ROOT / "scripts" / "build.sh"), mode] + targets(chosen, patterns),
                            stdin=subprocess.DEVNULL)
    built = time.monotonic() - begin
    if status.returncode != 0:
        say(f"FAIL build for {mode}")
        totals.failed += 1
        return
    if mode == "clang":
        totals.passed += 1
        say(f"== {mode}: built without a warning in {built:.1f} s")
        return
    env = environment(mode)

    def one(program):
        name, command, limits = program
        begin = time.monotonic()
        status, output = run(command, env, *limits)
        return program, (name, status, output, time.monotonic() - begin)

    say(f"== {mode}: built in {built:.1f} s, running")
    jobs = len(os.sched_getaffinity(0)) + 1
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(one, program) for program in chosen]
        results = [future.result() for future in reported(futures, mode, verbose)]
    for program, result in results:
        status, output = result[1], result[2]
        if count(status, output)[1] and os.environ.get("MOTET_RERUN"):
            say(f"UNSTEADY {mode} {program[0]}: failed once; again, alone")
            result = one(program)[1]
            report(mode, result, verbose)
        passed, failed, skipped = count(result[1], result[2])
        totals.passed += passed
        totals.failed += failed
        totals.skipped += skipped


def reported(futures, mode, verbose):
    """The futures as they are done, each reported."""
    for future in concurrent.futures.as_completed(futures):
        report(mode, future.result()[1], verbose)
        yield future


def report(mode, result, verbose):
    name, status, output, seconds = result
    passed, failed, skipped = count(status, output)
    word = "FAIL" if failed else "ok  " if passed else "skip"
    note = f", {skipped} skipped" if skipped else ""
    say(f"{word} {mode:5} {name:24} {passed:4} passed, {failed} failed{note} ({seconds:.1f} s)")
    if failed or skipped or verbose:
        print("".join("     | " + line + "\n" for line in output.splitlines()), end="", flush=True)


def main(arguments):
    modes = [a[7:] for a in arguments if a.startswith("--mode=")]
    verbose = "-v" in arguments
    patterns = [a for a in arguments if not a.startswith("-")]
    known = set(MODES) | {"-v"}
    if any(a.startswith("-") and a not in known and not a.startswith("--mode=")
           for a in arguments) or not set(modes) <= set(MODES):
        sys.exit(__doc__)
    totals = Totals()
    begin = time.monotonic()
    for mode in modes or MODES:
        run_mode(mode, patterns, verbose, totals)
    if totals.skipped:
        say(f"{totals.skipped} skipped")
    say(f"in {time.monotonic() - begin:.0f} s")
    say(f"{totals.passed} passed, {totals.failed} failed")
    return 1 if totals.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
