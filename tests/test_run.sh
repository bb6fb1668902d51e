#!/bin/sh
# tests/run.py: that a program is ended in time whatever it does, with all that it has started.
cd "$(dirname "$0")/.." || exit 1
. tests/verdict.sh
export LC_ALL=C

cat >"$scratch/hang.c" <<'END'
#include <unistd.h>

__attribute__((constructor)) static void hang(void)
{
    for (;;)
        pause();
}

int main(void)
{
    return 0;
}
END
gcc -o "$scratch/hang" "$scratch/hang.c" || exit 1

# run LIMIT BEGINS COMMAND...: how it ended, in one line, and what was said.
run()
{
    timeout 100 python3 - "$@" <<'END'
import os
import sys

sys.path.insert(0, "tests")
import run

limit, begins, *command = sys.argv[1:]
status, output = run.run(command, dict(os.environ), float(limit), float(begins) or None)
print(status)
print(output, end="")
END
}

# What others run has no such name.
sleeper=motet-test-$$-sleeper
cp "$(command -v sleep)" "$scratch/$sleeper"
gone()
{
    grep -lzx -- "$scratch/$sleeper" /proc/[0-9]*/cmdline 2>/dev/null >"$scratch/found"
    verdict "$1: nothing is left"
}

is "who ends in time" "0
well" "$(run 60 0 sh -c 'echo well')"
is "who says that it has begun" "3
well" "$(run 60 60 sh -c 'echo begun; echo well; exit 3')"

out=$(run 60 1 "$scratch/hang")
has "a constructor hangs" "None
has not come to main() after 1.0 seconds
left process" "$out"
has "it is named" "$scratch/hang" "$out"

out=$(run 1 0 "$scratch/$sleeper" 1000)
has "no end" "None
ran out of time after 1.0 seconds
left process" "$out"
gone "no end"

# Each hides in another way: by its signals, its environment, its session, its parent.
cat >"$scratch/hide.sh" <<END
trap '' TERM INT HUP
env -i $scratch/$sleeper 1001 &
setsid $scratch/$sleeper 1002 &
(
    setsid env -i $scratch/$sleeper 1003 &
    wait
) &
exec $scratch/$sleeper 1004
END
out=$(timeout 100 python3 - "$scratch" "$sleeper" <<'END'
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, "tests")
import run

scratch, sleeper = sys.argv[1:]
mark = "MOTET_TEST_RUN=hidden"
process = subprocess.Popen(["sh", scratch + "/hide.sh"], start_new_session=True,
                           env=dict(os.environ, MOTET_TEST_RUN="hidden"))


def ready():
    found = [run.describe(pid) for pid in run.started_by(process.pid, mark.encode())]
    return all(any(f"{sleeper} {n}" in text for text in found) for n in range(1001, 1005))


end = time.monotonic() + 60
while not ready() and time.monotonic() < end:
    time.sleep(0.01)
with tempfile.TemporaryFile() as log:
    print(run.overdue(process.pid, log, 0.2, 0.1), end="")
    log.write(run.BEGUN)
    log.flush()
    print(run.overdue(process.pid, log, 0.2, 0.1), end="")
print(run.leftovers(process.pid, mark.encode(), 0))
print(process.wait())
END
)
has "it has not begun, and does not end" "has not come to main() after 0.1 seconds
ran out of time after 0.2 seconds" "$out"
for n in 1001 1002 1003 1004; do
    has "several that hide: $n" "$sleeper $n" "$out"
done
gone "several that hide"

out=$(run 60 0 sh -c "env -i $scratch/$sleeper 1000 & exit 0")
has "it ends, but not all that it has started" "None
left process" "$out"
gone "it ends, but not all that it has started"

tally
