#!/usr/bin/env python3
"""Proves that the tests mean something: plants a bug, and expects a test to find it.

    tests/mutants.py [-v] [--list | --check] [NAME]...
    tests/mutants.py --make NAME SENTENCE KILLER...

Each tests/mutants/NAME.patch plants one bug in the library. Above the diff it says in a sentence what
is wrong then, and in a line "Killed by: PROGRAM[/CASE] ..." what must find it: tests or models, the
first that fails is enough. Each patch is applied to a copy of the tree, the programs are built and
run; a mutant that none of them kills is a failure, and so is one that does not apply or does not
compile any more. First all those programs must pass without a mutant.

--check says only whether each patch applies. --make writes the patch of what is changed in src/ and
include/, and takes the change back.

Mutants run side by side, one a processor, each in a copy of its own under $BUILD/mutants. NAME may be
the beginning of one. The last line is "N killed, N survived"; the exit status is 0 when none survived.
"""

import concurrent.futures
import os
import pathlib
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("BUILD") or "build")
BUILD = (BUILD if BUILD.is_absolute() else ROOT / BUILD) / "mutants"
PATCHES = ROOT / "tests" / "mutants"
SOURCES = ("src", "include")
LIMIT = 240  # seconds for one program; a mutant that hangs is found by its own limit long before


class Mutant:
    def __init__(self, path):
        header = path.read_text().partition("--- a/")[0]
        match = re.search(r"^Killed by: (.+)$", header, re.M)
        if not match:
            sys.exit(f"{path}: no line that says what it is killed by")
        self.name = path.stem
        self.path = path
        self.killers = match.group(1).split()
        self.what = " ".join(header[: match.start()].split())


def target(program):
    """What to build for a program, or a case of it, and where it then is."""
    name = program.split("/")[0]
    return ("tests/models/" if name.startswith("model_") else "tests/") + name


class Tree:
    """A copy of what the tests are built from, with a build of its own."""

    def __init__(self, number):
        self.root = BUILD / f"tree-{number}"
        self.root.mkdir(parents=True, exist_ok=True)
        self.restore()

    def restore(self):
        """Makes the copy what the tree is. What is the same keeps its time, so little is built."""
        files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT,
                               capture_output=True, text=True).stdout.splitlines()
        wanted = set(files)
        for name in files:
            source, copy = ROOT / name, self.root / name
            if not source.is_file():
                continue
            if copy.is_file() and copy.read_bytes() == source.read_bytes():
                continue
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, copy)
        for folder in ("src", "tests", "include", "examples", "bench", "tools", "docs"):
            for path in (self.root / folder).rglob("*"):
                if path.is_file() and str(path.relative_to(self.root)) not in wanted:
                    path.unlink()

    def apply(self, mutant):
        done = subprocess.run(["patch", "-p1", "--no-backup-if-mismatch", "-s", "-i", mutant.path],
                              cwd=self.root, capture_output=True, text=True)
        return done.returncode == 0, done.stdout + done.stderr

    def build(self, programs):
        """Builds them; returns whether that worked, and what was said."""
        env = dict(os.environ, BUILD="build", CFLAGS="-w")  # a mutant may leave things unused
        env.pop("MAKEFLAGS", None)
        done = subprocess.run(["sh", "scripts/build.sh", "plain"] +
                              sorted({target(p) for p in programs}),
                              cwd=self.root, env=env, capture_output=True, text=True)
        return done.returncode == 0, done.stdout + done.stderr

    def run(self, program, seconds):
        """Whether it passes, and what it printed; a model may take so many seconds."""
        case = program.partition("/")[2]
        command = [str(self.root / "build" / "plain" / target(program))] + ([case] if case else [])
        env = dict({"MOTET_TEST_LIMIT": "30", "MODEL_TIME": str(seconds)}, **os.environ)
        process = subprocess.Popen(command, cwd=self.root, env=env, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   start_new_session=True, text=True, errors="replace")
        end = threading.Timer(LIMIT, os.killpg, (process.pid, signal.SIGKILL))
        end.start()
        output = ""
        for line in process.stdout:
            output += line
            if line.startswith("FAIL "):  # one is enough
                os.killpg(process.pid, signal.SIGKILL)
        end.cancel()
        return process.wait() == 0, output


def judge(tree, mutant):
    """(killed, by what or why not, output of the killer)"""
    tree.restore()
    applied, text = tree.apply(mutant)
    if not applied:
        return False, "does not apply any more", text
    built, text = tree.build(mutant.killers)
    if not built:
        return False, "does not compile", text
    for program in mutant.killers:
        passed, text = tree.run(program, 10)  # enough, however busy the machine is
        if not passed:
            return True, program, text
    return False, "survives " + " ".join(mutant.killers), ""


def must_pass(tree, mutants):
    """Without a mutant everything passes, or a kill would mean nothing."""
    programs = sorted({p for m in mutants for p in m.killers})
    built, text = tree.build(programs)
    if not built:
        sys.exit(f"{text}\nthe tree does not build")
    for program in programs:
        passed, text = tree.run(program, 0.5)
        if not passed:
            sys.exit(f"{text}\n{program} fails without a mutant")
    print(f"{len(programs)} programs and cases pass without a mutant", flush=True)


def check(mutants):
    """Whether each still applies: a dry run, on the tree itself."""
    failed = 0
    for mutant in mutants:
        done = subprocess.run(["patch", "-p1", "--dry-run", "-s", "-f", "-i", mutant.path],
                              cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            print(f"FAIL {mutant.name}: does not apply any more\n{done.stdout}{done.stderr}", end="")
            failed += 1
    print(f"{len(mutants) - failed} passed, {failed} failed")
    return 1 if failed else 0


def make(name, sentence, *killers):
    """A patch of what is changed in the tree."""
    diff = subprocess.run(["git", "diff", "--no-color", "--", *SOURCES], cwd=ROOT,
                          capture_output=True, text=True, check=True).stdout
    lines = [line for line in diff.splitlines() if not re.match(r"diff --git|index ", line)]
    if not lines or not killers:
        sys.exit("nothing is changed, or nothing is to kill it")
    PATCHES.mkdir(exist_ok=True)
    text = "\n".join([sentence, "Killed by: " + " ".join(killers), ""] + lines) + "\n"
    (PATCHES / f"{name}.patch").write_text(text)
    subprocess.run(["git", "checkout", "-q", "--", *SOURCES], cwd=ROOT, check=True)
    return 0


def main(arguments):
    if arguments[:1] == ["--make"] and len(arguments) > 3:
        return make(*arguments[1:])
    names = [a for a in arguments if not a.startswith("-")]
    if any(a.startswith("-") and a not in ("-v", "--list", "--check") for a in arguments):
        sys.exit(__doc__)
    mutants = [Mutant(path) for path in sorted(PATCHES.glob("*.patch"))]
    mutants = [m for m in mutants if not names or any(m.name.startswith(n) for n in names)]
    if "--list" in arguments:
        for mutant in mutants:
            print(f"{mutant.name}: {mutant.what}")
        return 0
    if not mutants:
        sys.exit("no such mutant")
    if "--check" in arguments:
        return check(mutants)
    trees = queue.Queue()
    for number in range(min(len(os.sched_getaffinity(0)), len(mutants))):
        trees.put(Tree(number))
    first = trees.get()
    must_pass(first, mutants)
    trees.put(first)

    def one(mutant):
        tree = trees.get()
        begin = time.monotonic()
        try:
            return mutant, judge(tree, mutant), time.monotonic() - begin
        finally:
            trees.put(tree)

    killed = 0
    with concurrent.futures.ThreadPoolExecutor(trees.qsize()) as pool:
        for done in concurrent.futures.as_completed([pool.submit(one, m) for m in mutants]):
            mutant, (dead, how, text), seconds = done.result()
            killed += dead
            print(f"{'killed ' if dead else 'ALIVE  '} {mutant.name:34} {how} ({seconds:.1f} s)",
                  flush=True)
            if not dead or "-v" in arguments:
                print("".join("     | " + line + "\n" for line in
                              [mutant.what] + text.splitlines()[-40:]), end="", flush=True)
    print(f"{killed} killed, {len(mutants) - killed} survived")
    return 0 if killed == len(mutants) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
