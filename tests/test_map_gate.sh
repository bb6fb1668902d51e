#!/bin/sh
# What jobs wait for before they start: --delay, --load and --min-free.
# modes: plain asan
. "$(dirname "$0")/map_helpers.sh"

# Runs the command where /proc/loadavg and /proc/meminfo are files of ours, $dir/loadavg and $dir/meminfo.
elsewhere()
{
    # shellcheck disable=SC2016
    unshare -rm sh -c '
        mount --bind "$1/loadavg" /proc/loadavg && mount --bind "$1/meminfo" /proc/meminfo || exit 99
        shift
        exec "$@"' sh "$dir" "$@"
}

# busy PROCESSES: besides the one that asks.
busy()
{
    echo "0.00 0.00 0.00 $(($1 + 1))/200 12345" >"$dir/loadavg"
}

free_memory()
{
    printf 'MemTotal: 1000000 kB\nMemAvailable: %d kB\n' "$1" >"$dir/meminfo"
}

delay()
{
    # Three at a time, but none begins within 100 ms of another.
    map -j 3 --log "$dir/log" --delay 0.1 true ::: 1 2 3 4 5
    is "$status" 0
    sed 's/.*"start":\([0-9.]*\).*/\1/' "$dir/log" | sort | awk '
        NR > 1 && $1 - last < 0.095 { print "only", $1 - last; exit 1 }
        { last = $1 }' || complain "too close"
    is "$(wc -l <"$dir/log")" 5
}

ctrl_c_does_not_wait_for_the_delay()
{
    "$motet" map -j 2 --delay 1000 sh -c 'echo $1 >>"$2"' sh {} "$dir/ran" ::: 1 2 3 2>"$err" &
    runner=$!
    strays=$runner
    wait_until lines "$dir/ran" 1
    kill -INT $runner
    wait $runner
    is $? 130
    is "$(cat "$dir/ran")" 1
}

a_failure_does_not_wait_for_the_delay()
{
    map -j 2 --fail soon --delay 1000 false ::: 1 2 3
    is "$status" 1
    is "$(grep -c 'exited with status 1' "$err")" 1
}

load()
{
    # While three are busy, one job at a time; then, as many as there may be.
    busy 3
    free_memory 1000
    elsewhere "$motet" map -j 2 --load 3 sh -c '
        mkdir "$2/alone" || exit 1
        rmdir "$2/alone"' sh {} "$dir" ::: $(seq 20) >"$out" 2>"$err"
    is $? 0
    is "$(cat "$err")" ""
    busy 2
    elsewhere "$motet" map -j 2 --load 3 sh -c '
        : >"$2/$1"
        until [ -e "$2/1" ] && [ -e "$2/2" ]; do sleep 0.05; done' sh {} "$dir" ::: 1 2
    is $? 0
}

load_that_goes()
{
    busy 9
    free_memory 1000
    # Job 1 waits for job 2, which is kept back until job 1 says that nobody is busy any more.
    elsewhere "$motet" map -j 2 --load 100% sh -c '
        : >"$2/$1"
        [ $1 = 2 ] || echo "0.00 0.00 0.00 1/200 1" >"$2/loadavg"
        until [ -e "$2/2" ]; do sleep 0.05; done' sh {} "$dir" ::: 1 2
    is $? 0
}

# The runner that the shell $runner has as its only child, once it is one.
the_runner()
{
    child=$(tr -d ' ' <"/proc/$runner/task/$runner/children") && grep -q '^motet' "/proc/$child/comm"
}

min_free()
{
    busy 0
    free_memory 499
    elsewhere "$motet" map --min-free 500K sh -c 'echo $1 >>"$2"' sh {} "$dir/ran" ::: 1 2 >"$out" 2>"$err" &
    runner=$!
    strays=$runner
    # It looks again and again; after two looks nothing has begun.
    wait_until the_runner
    sleep 0.5
    [ ! -e "$dir/ran" ] || complain "it began"
    free_memory 500
    wait $runner
    is $? 0
    is "$(wc -l <"$dir/ran")" 2
}

ctrl_c_while_there_is_no_memory()
{
    map --min-free 1000000G true ::: a &
    runner=$!
    strays=$runner
    wait_until the_runner
    wait_until grep -q 'SigCgt:.*[2367abef]$' "/proc/$child/status" # SIGINT has a handler by now
    kill -INT "$child"
    wait $runner
    is "$(cat "$err")" "motet map: stopped by SIGINT: 0 jobs had ended, 0 stopped"
}

what_is_there_is_enough()
{
    map --min-free 1 --load 1000000 --delay 0.001 echo ::: a b
    is "$status" 0
    is "$(sort "$out")" "a
b"
}

run delay
run ctrl_c_does_not_wait_for_the_delay
run a_failure_does_not_wait_for_the_delay
run what_is_there_is_enough
run ctrl_c_while_there_is_no_memory
if unshare -rm sh -c 'mount --bind /dev/null /proc/loadavg' 2>/dev/null; then
    run load
    run load_that_goes
    run min_free
else
    echo "no name space for other files in /proc: --load and --min-free are not tested"
fi
finish
