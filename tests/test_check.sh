#!/bin/bash
# Users' programs under the scheduler: what is wrong is found, told and can be run again, and what is
# right passes. One case a line of judge.
cd "$(dirname "$0")/.." || exit 1
library=$MOTET_BUILD/libmotet_check.a
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
ulimit -c 0
passed=0 failed=0

build() # PROGRAM SOURCE [FLAG ...]
{
    local program=$1 source=$2
    shift 2
    ${CC:-cc} -std=gnu17 -g -O2 -Wall -Wextra -Iinclude "$@" "$source" "$library" -o "$scratch/$program" ||
        exit 1
}

# run SETTINGS PROGRAM [ARGUMENT ...]: what it says is in $scratch/said, its status in $status.
run()
{
    # In a shell of its own, which says nothing of aborts.
    sh -c '[ -z "$1" ] || export MOTET_CHECK="$1"; said=$2; shift 2; "$@" >"$said" 2>&1 </dev/null
        exit $?' sh "$1" "$scratch/said" "$scratch/$2" "${@:3}" 2>/dev/null
    status=$?
}

# judge WHAT STATUS [REGEX ...]: each must be in what the last run said.
judge()
{
    local what=$1 wanted=$2 bad=
    shift 2
    [ "$status" -eq "$wanted" ] || bad="the status is $status, not $wanted"
    for regex in "$@"; do
        grep -qE "$regex" "$scratch/said" || bad="$bad; it does not say: $regex"
    done
    if [ -z "$bad" ]; then
        passed=$((passed + 1))
    else
        echo "FAIL $what: $bad"
        sed 's/^/    /' "$scratch/said" | head -60
        failed=$((failed + 1))
    fi
}

# Whatever src/base/ has, the check build has too.
${CC:-cc} -o "$scratch/all" -Wl,--whole-archive "$library" -Wl,--no-whole-archive \
    >"$scratch/said" 2>&1
status=$?
judge "the check build is whole" 0

build buffer tests/check/buffer.c
build right tests/check/buffer.c -DRIGHT
for name in OPPOSITE_ORDERS ASSERTION STATUS ENDLESS LOCALS VARIABLES STACK FOREIGN HOURS SHARED DUMP; do
    build $name tests/check/programs.c -D$name
done
build MESSAGES tests/check/programs.c -DMESSAGES=0
build SHARED_MESSAGES tests/check/programs.c -DMESSAGES=1

# The same library, each strategy.
for how in random:2000 pct:3:2000 dfs:1; do
    run $how buffer
    judge "a lost wake-up, by $how" 1 "deadlock" "is in motet_condition_wait, called by consume" \
        "buffer.c:[0-9]+: [a-z]+ calls motet_condition_notify" "again: MOTET_CHECK="
done
for how in random:300 pct:3:300 dfs:1:300; do
    run $how right
    judge "the right program, by $how" 0 "[0-9]+ runs, .*nothing found"
done

for how in random pct dfs; do
    run $how OPPOSITE_ORDERS
    judge "two locks in both orders, by $how" 1 "deadlock" "T[12] first is in motet__with_lock"
    run $how ASSERTION
    judge "a change between two holdings, by $how" 1 "crash: Aborted" "Assertion .seen == 2. failed" \
        "T0 main was last in motet"
done
run random,timeouts=1 STATUS
judge "a timeout that may be too short" 1 "exit status is 7" "its time is up"
run random,timeouts=0,runs=200 STATUS
judge "a timeout that is long enough" 0 "200 runs"
run limit=1,runs=2 ENDLESS
judge "a loop without a call" 1 "has not come to a call of motet"
run random:300 LOCALS
judge "thread-local variables" 0 "nothing found"
run random:300 VARIABLES
judge "motet_local" 0 "nothing found"
run random:1000,delays=5 STACK
judge "late stores, and the stack" 0 "nothing found"
run random:20 FOREIGN
judge "a thread of the program's own" 1 "that motet did not start" "exit status is 3"
run random:50 HOURS
judge "hours of waiting" 0 "nothing found"

run random:300,timeouts=0 DUMP
judge "a dump of who waits" 0 "nothing found"
for program in MESSAGES SHARED_MESSAGES; do
    run random:300 $program
    judge "messages, which the program frees: $program" 0 "nothing found"
done
run random:300,delays=10 SHARED
judge "shared memory" 0 "nothing found"

# The string makes the same run, in the process itself, which stops where it fails.
run random:2000 buffer
again=$(sed -n 's/^again: MOTET_CHECK="\([^"]*\)".*/\1/p' "$scratch/said")
steps()
{
    grep -E '^ *[0-9]+ +T' "$scratch/said" | sed 's/0x[0-9a-f]*/ADDRESS/g'
}
steps >"$scratch/first"
run "$again" buffer
judge "the schedule again" 134 "deadlock" "is in motet_condition_wait"
steps >"$scratch/second"
cmp -s "$scratch/first" "$scratch/second"
status=$?
judge "the schedule again, step by step" 0
run "$again" right
judge "the schedule, of the right program" 0 "the sum is 6"

run random:2000 buffer one "it's two" ""
judge "the arguments, for the shell" 1 "^again: .*/buffer one 'it'.''s two' ''\$"
run "" right
judge "without MOTET_CHECK it runs once" 0 "the sum is 6"
run random:3,output right
judge "the output of all runs" 0 "the sum is 6"
for wrong in nonsense random:x seed= replay=a.b; do
    run $wrong right
    judge "MOTET_CHECK=$wrong" 2 "what is"
done

# So does that of a model.
ln -s "$(cd "$MOTET_BUILD" && pwd)/tests/models/model_selftest" "$scratch/selftest"
"$scratch/selftest" -v finds_a_condition_stored >"$scratch/said" 2>&1
status=$?
judge "a model's story" 0 "others do not see it yet" "again: .* --replay=[0-9.-]+ finds"
again=$(sed -n 's/^again: .* --replay=\([^ ]*\) .*/\1/p' "$scratch/said")
steps >"$scratch/first"
"$scratch/selftest" "--replay=$again" finds_a_condition_stored >"$scratch/said" 2>&1
status=$?
judge "a model's schedule again" 1 "deadlock"
steps >"$scratch/second"
cmp -s "$scratch/first" "$scratch/second"
status=$?
judge "a model's schedule again, step by step" 0

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
