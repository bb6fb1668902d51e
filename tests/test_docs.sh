#!/bin/sh
# What the texts name exists: tests, files, calls and examples.
cd "$(dirname "$0")/.." || exit 1
. tests/verdict.sh
export LC_ALL=C

# Tests, named as test_program: case. A name that ends in … is the beginning of one.
grep -ohE 'test_[a-z_]+: [a-z0-9_]+(…)?' docs/*.md | sort -u >"$scratch/tests"
if [ ! -s "$scratch/tests" ]; then
    echo "docs name no test" >"$scratch/found"
fi
while IFS=': ' read -r program case; do
    end='[,)]'
    [ "${case%…}" = "$case" ] || end=
    grep -qE "^[A-Z_]+\(${case%…}$end" "tests/$program.c" 2>/dev/null || echo "$program: $case"
done <"$scratch/tests" >>"$scratch/found"
verdict "tests that do not exist"

# Public names: all in a header. `motet_queue_…` and the like stand for several.
cat include/motet.h include/motet/*.h >"$scratch/headers"
for text in README.md docs/differences.md docs/python.md; do
    grep -ohE '\b(motet|MOTET)_[A-Za-z0-9_]+' "$text" 2>/dev/null | sort -u |
        while read -r name; do
            case $name in *_) continue ;; esac
            grep -qE "\\b$name" "$scratch/headers" || echo "$text: $name"
        done >>"$scratch/found"
done
verdict "names that are in no header"

# Python's names, as far as the Python here has them: all are in the tables, or in what there is not yet.
python3 - docs/python.md docs/differences.md >"$scratch/found" 2>&1 <<'EOF'
import multiprocessing, queue, re, sys, threading, _thread
from multiprocessing import connection, queues, shared_memory, sharedctypes, synchronize

names = set(threading.__all__) | set(queue.__all__) | set(dir(_thread))
for c in (threading.Thread, threading.Condition, threading.Event, threading.Barrier,
          threading.Semaphore, threading.Timer, queue.Queue, queue.SimpleQueue):
    names |= set(dir(c))
names |= set(multiprocessing.__all__) | set(connection.__all__)
for c in (multiprocessing.Process, connection.Connection, queues.Queue, queues.JoinableQueue,
          queues.SimpleQueue, synchronize.Lock, synchronize.RLock, synchronize.Semaphore,
          synchronize.BoundedSemaphore, synchronize.Condition, synchronize.Event,
          synchronize.Barrier, sharedctypes.Synchronized, sharedctypes.SynchronizedString,
          shared_memory.SharedMemory, shared_memory.ShareableList):
    names |= set(dir(c))
words = set()
for path in sys.argv[1:]:
    words |= set(re.findall(r"\w+", open(path, encoding="utf-8").read()))
for name in sorted(names - words):
    if not name.startswith("_"):
        print(name)
EOF
verdict "names of Python that docs/python.md does not have"

# Files, named with their folder.
for text in README.md CONTRIBUTING.md docs/*.md; do
    grep -ohE '\b(docs|examples|include|src|tests|tools|bench|scripts)/[a-z_./-]*[a-z]\b' "$text" |
        sort -u | while read -r file; do
        [ -e "$file" ] || ls "$file".* >/dev/null 2>&1 || echo "$text: $file"
    done >>"$scratch/found"
done
verdict "files that do not exist"

# Every example has its line in the README.
for source in examples/*.c; do
    grep -qF "\`$(basename "$source")\`" README.md || echo "$source" >>"$scratch/found"
done
verdict "examples that the README does not name"

tally
