#!/bin/sh
# However a run ends before its end, by a signal, a time limit or its own death, none of the processes
# that it started is left.
# modes: plain asan
. "$(dirname "$0")/map_helpers.sh"

# A job that stays, and so does a child of it: both note their pids.
stays='
sleep 100000 &
echo $! >>"$1/pids"
echo $$ >>"$1/pids"
echo "before $2"
wait'

# The same, deaf to SIGTERM and SIGINT.
stays_deaf='
trap "" TERM INT HUP
while :; do sleep 0.05; done &
echo $! >>"$1/pids"
echo $$ >>"$1/pids"
while :; do sleep 0.05; done'

# start OPTIONS AND COMMAND ...: in the background, as $runner.
start()
{
    "$motet" map "$@" >"$out" 2>"$err" &
    runner=$!
    strays="$strays $runner"
}

# Until the jobs have noted so many pids.
pids_noted()
{
    wait_until lines "$dir/pids" "$1"
    pids=$(cat "$dir/pids")
    strays="$strays $pids"
}

all_gone()
{
    for pid in $pids; do
        wait_until gone "$pid"
    done
}

# Right after the runner has ended, without waiting: it does not end before they have.
none_left()
{
    for pid in $pids; do
        gone "$pid" || complain "process $pid is left"
    done
}

# (The shell would say on its standard error that the runner was killed.)
ends_with()
{
    {
        wait $runner
    } 2>/dev/null
    is $? "$1"
}

ctrl_c()
{
    start -j 2 sh -c "$stays" sh "$dir" ::: a b c d
    pids_noted 4
    kill -INT $runner
    ends_with 130
    none_left
    has "$err" "stopped by SIGINT: 0 jobs had ended, 2 stopped"
    is "$(wc -l <"$err")" 1
    is "$(wc -l <"$dir/pids")" 4 # c and d never began
    has "$out" "before a"        # what they had written is not thrown away
}

sigterm()
{
    start -j 2 sh -c "$stays" sh "$dir" ::: a b
    pids_noted 4
    kill -TERM $runner
    ends_with 143
    none_left
}

sighup()
{
    start -j 2 sh -c "$stays" sh "$dir" ::: a b
    pids_noted 4
    kill -HUP $runner
    ends_with 129
    none_left
}

nohup_is_heeded()
{
    (
        trap '' HUP
        exec "$motet" map -j 1 sh -c 'kill -HUP $PPID; kill -HUP $$; echo $1' sh ::: 1 2 >"$out" 2>"$err"
    )
    is $? 0
    is "$(cat "$out")" "1
2"
}

ctrl_c_while_it_waits_for_items()
{
    mkfifo "$dir/in"
    "$motet" map -j 2 sh -c "$stays" sh "$dir" <"$dir/in" >"$out" 2>"$err" &
    runner=$!
    strays=$runner
    exec 5>"$dir/in"
    echo a >&5
    pids_noted 2
    kill -INT $runner
    ends_with 130
    exec 5>&-
    none_left
}

ctrl_c_while_nobody_reads_its_output()
{
    mkfifo "$dir/pipe"
    "$motet" map -j 2 sh -c 'echo $$ >>"$1/pids"; head -c 1000000 /dev/zero; sleep 100000' sh "$dir" \
        ::: a b >"$dir/pipe" 2>"$err" &
    runner=$!
    strays=$runner
    exec 5<"$dir/pipe"
    pids_noted 2
    # One of them ends, so that the runner is busy writing what nobody reads.
    kill -KILL -"$(head -n 1 "$dir/pids")"
    wait_until fifo_has_data
    kill -INT $runner
    ends_with 130
    exec 5<&-
    none_left
}

fifo_has_data()
{
    python3 -c 'import select, sys; sys.exit(not select.select([5], [], [], 0)[0])' || return
}

what_ignores_sigterm_is_killed()
{
    start -j 2 sh -c "$stays_deaf" sh "$dir" ::: a b
    pids_noted 4
    kill -INT $runner
    ends_with 130
    none_left
}

told_or_gone()
{
    [ -e "$dir/told" ] || gone $runner
}

the_second_ctrl_c_does_not_wait()
{
    # Unless it was so slow to say that it had been told, that the first was enough.
    for try in 1 2 3 4 5; do
        rm -f "$dir/pids"
        start -j 1 sh -c '
            trap ": >\"\$1/told\"" TERM
            echo $$ >>"$1/pids"
            while :; do sleep 0.05; done' sh "$dir" ::: a
        pids_noted 1
        kill -INT $runner
        wait_until told_or_gone
        kill -INT $runner 2>/dev/null
        ends_with 130
        none_left
        [ -e "$dir/told" ] && break
    done
    holds test -e "$dir/told"
}

a_stopped_job_hears_of_it()
{
    # It could not act on SIGTERM while it is stopped. It has two seconds for it, which a busy machine may be
    # too slow for: not five times, though.
    for try in 1 2 3 4 5; do
        rm -f "$dir/pids"
        start -j 1 sh -c '
            trap ": >\"\$1/told\"; exit" TERM
            echo $$ >>"$1/pids"
            while :; do sleep 0.05; done' sh "$dir" ::: a
        pids_noted 1
        kill -STOP "$pids"
        kill -TERM $runner
        ends_with 143
        none_left
        [ -e "$dir/told" ] && break
    done
    holds test -e "$dir/told"
}

escaped_processes_end_too()
{
    # In a session of its own, its parent gone: no process group and no family tie leads to it.
    start -j 1 sh -c '
        setsid sh -c "sleep 100000 & echo \$! >>\"\$1/pids\"; echo \$\$ >>\"\$1/pids\"; wait" sh "$1" &
        setsid sh -c "(sleep 100000 & echo \$! >>\"\$1/pids\") &" sh "$1"
        wait' sh "$dir" ::: a
    pids_noted 3
    kill -INT $runner
    ends_with 130
    none_left
}

children_of_others_are_left_alone()
{
    # The shell's, from before it became the runner.
    sh -c '
        sleep 100000 &
        echo $! >"$1/before"
        shift
        exec "$@"' sh "$dir" "$motet" map sh -c "$stays" sh "$dir" ::: a >"$out" 2>"$err" &
    runner=$!
    strays=$runner
    pids_noted 2
    strays="$strays $(cat "$dir/before")"
    kill -INT $runner
    ends_with 130
    none_left
    holds kill -0 "$(cat "$dir/before")"
}

killed_with_sigkill()
{
    start -j 2 sh -c "$stays" sh "$dir" ::: a b
    pids_noted 4
    kill -KILL $runner
    ends_with 137
    all_gone
}

killed_with_sigkill_when_the_jobs_are_deaf()
{
    start -j 2 sh -c "$stays_deaf" sh "$dir" ::: a b
    pids_noted 4
    kill -KILL $runner
    ends_with 137
    all_gone
}

killed_with_sigkill_at_any_moment()
{
    # In the middle of starting and ending jobs, of which every fifth stays.
    for delay in 0.01 0.02 0.03 0.04 0.05 0.07 0.1 0.2; do
        yes | MAP_TEST_TAG=$dir "$motet" map -j 8 sh -c '
            case $1 in *[05]) sleep 100000 & exec sleep 100000 ;; esac' sh {#} {} >"$out" 2>"$err" &
        runner=$!
        sleep $delay
        kill -KILL $runner
        ends_with 137
        wait_until nobody_has_the_tag
    done
}

# It is in the environment of the runner and of all that it starts.
nobody_has_the_tag()
{
    ! grep -qs "MAP_TEST_TAG=$dir" /proc/[0-9]*/environ
}

killed_with_its_own_death_only()
{
    # A background process of a job that has ended is not the run's any more.
    start -j 1 sh -c '
        [ "$2" = 1 ] || { echo $$ >>"$1/pids"; exec sleep 100000; }
        sleep 100000 >/dev/null 2>&1 & echo $! >>"$1/pids"' sh "$dir" ::: 1 2
    pids_noted 2
    kill -KILL $runner
    ends_with 137
    wait_until gone "$(tail -n 1 "$dir/pids")"
    holds kill -0 "$(head -n 1 "$dir/pids")"
}

a_time_out_takes_the_children_along()
{
    for seconds in $longer_times; do
        rm -f "$dir/pids"
        map -j 2 --timeout $seconds sh -c "$stays" sh "$dir" ::: a b
        lines "$dir/pids" 4 && lines "$out" 2 && break
    done
    is "$status" 124
    pids=$(cat "$dir/pids")
    strays=$pids
    is "$(wc -l <"$dir/pids")" 4
    all_gone
    is "$(grep -c "timed out after $seconds s" "$err")" 2
    has "$out" "before b"
}

a_time_out_takes_the_deaf()
{
    for seconds in $longer_times; do
        rm -f "$dir/pids"
        map --timeout $seconds sh -c "$stays_deaf" sh "$dir" ::: a
        lines "$dir/pids" 2 && break
    done
    is "$status" 124
    pids=$(cat "$dir/pids")
    strays=$pids
    is "$(wc -l <"$dir/pids")" 2
    all_gone
}

a_time_out_takes_the_deaf_and_silent()
{
    # The command itself ends when told; its child holds no pipe by which one could tell that it lives.
    for seconds in $longer_times; do
        map --timeout $seconds sh -c '
            sh -c "trap \"\" TERM; echo \$\$ >>\"\$1/pids\"; while :; do sleep 0.05; done" sh "$1" \
                >/dev/null 2>&1 &
            wait' sh ::: "$dir"
        [ -s "$dir/pids" ] && break
    done
    is "$status" 124
    pids=$(cat "$dir/pids")
    strays=$pids
    all_gone
}

a_time_out_takes_the_escaped()
{
    for seconds in $longer_times; do
        map --timeout $seconds sh -c '
            setsid sh -c "trap \"\" TERM; echo \$\$ >>\"\$1/pids\"; while :; do sleep 0.05; done" sh "$1" &
            wait' sh ::: "$dir"
        [ -s "$dir/pids" ] && break
    done
    is "$status" 124
    pids=$(cat "$dir/pids")
    strays=$pids
    all_gone
}

a_job_may_clean_up()
{
    # SIGTERM first: what the job does then is done, if two seconds are enough for it.
    for seconds in $longer_times; do
        map --timeout $seconds sh -c '
            trap "echo cleaning; : >\"\$1/clean\"; exit 0" TERM
            while :; do sleep 0.02; done' sh ::: "$dir"
        [ -e "$dir/clean" ] && break
    done
    is "$status" 124
    holds test -e "$dir/clean"
    is "$(cat "$out")" cleaning
}

jobs_find_signals_as_we_did()
{
    (
        trap '' USR1
        grep '^SigIgn' /proc/self/status >"$dir/expected"
        exec "$motet" map grep '^SigIgn' ::: /proc/self/status >"$out"
    )
    holds cmp "$dir/expected" "$out"
    map grep '^SigBlk' ::: /proc/self/status
    is "$(cut -f 2 "$out")" 0000000000000000
}

jobs_find_no_descriptors_of_ours()
{
    # Its three, what we were given ourselves, and the leash by which the kernel kills it.
    ls /proc/self/fd >"$dir/ours"
    seq 20 | "$motet" map -j 4 sh -c 'ls /proc/self/fd | sort | tr "\n" " "; echo' sh >"$out"
    is "$(sort -u "$out")" "$(echo 60 | sort - "$dir/ours" | tr '\n' ' ')"
    map readlink ::: /proc/self/fd/0
    is "$(cat "$out")" /dev/null
}

run ctrl_c
run sigterm
# Where SIGHUP is ignored from the start, as under nohup, the command heeds that and goes on.
ignored=$(sed -n 's/^SigIgn:[[:space:]]*//p' /proc/self/status)
[ $((0x$ignored & 1)) -ne 0 ] || run sighup
run nohup_is_heeded
run ctrl_c_while_it_waits_for_items
run ctrl_c_while_nobody_reads_its_output
run what_ignores_sigterm_is_killed
run the_second_ctrl_c_does_not_wait
run a_stopped_job_hears_of_it
run escaped_processes_end_too
run children_of_others_are_left_alone
run killed_with_sigkill
run killed_with_sigkill_when_the_jobs_are_deaf
run killed_with_sigkill_at_any_moment
run killed_with_its_own_death_only
run a_time_out_takes_the_children_along
run a_time_out_takes_the_deaf
run a_time_out_takes_the_deaf_and_silent
run a_time_out_takes_the_escaped
run a_job_may_clean_up
run jobs_find_signals_as_we_did
run jobs_find_no_descriptors_of_ours
finish
