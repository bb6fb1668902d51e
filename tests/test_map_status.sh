#!/bin/sh
# Exit statuses, and what is said about jobs that fail, and about wrong usage.
# modes: plain asan
. "$(dirname "$0")/map_helpers.sh"

success_is_silent()
{
    map true ::: a b c
    is "$status" 0
    is "$(cat "$out" "$err")" ""
}

a_failing_job_is_named()
{
    map -k sh -c 'exit $1' sh ::: 0 3 0 255
    is "$status" 1
    is "$(cat "$err")" 'motet map: job 2 (sh -c exit $1 sh 3): exited with status 3
motet map: job 4 (sh -c exit $1 sh 255): exited with status 255'
}

a_killed_job_is_named()
{
    map -k sh -c 'kill -$1 $$' sh ::: SEGV TERM KILL
    is "$status" 1
    has "$err" 'job 1 (sh -c kill -$1 $$ sh SEGV): killed by SIGSEGV'
    has "$err" 'job 2 (sh -c kill -$1 $$ sh TERM): killed by SIGTERM'
    has "$err" 'job 3 (sh -c kill -$1 $$ sh KILL): killed by SIGKILL'
}

a_long_command_is_cut()
{
    map sh -c 'exit 1' "$(printf 'line\nbreak')" ::: ääääääääääääääääääääääääääääääääääääääääääääääääääääää
    is "$status" 1
    is "$(wc -l <"$err")" 1
    has "$err" "line?break"
    has "$err" "ää…): exited with status 1"
}

no_such_command()
{
    # (In a folder that may not be searched there might be one: that would be another error.)
    PATH=/usr/bin:/bin "$motet" map motet-no-such-command ::: a b >"$out" 2>"$err"
    is $? 1
    is "$(grep -c "cannot run: No such file or directory" "$err")" 2
    map "$dir" ::: a
    is "$status" 1
    has "$err" "cannot run: Permission denied"
    echo 'echo plain "$1"' >"$dir/script"
    chmod +x "$dir/script"
    map "$dir/script" ::: a
    is "$(cat "$out")" "plain a"
}

others_run_when_one_fails()
{
    map -k -j 2 sh -c 'echo $1; test $1 -ne 5' sh ::: 1 2 3 4 5 6 7 8 9 10
    is "$status" 1
    is "$(cat "$out")" "$(seq 10)"
}

a_time_out_has_its_own_status()
{
    for seconds in $longer_times; do
        map -k --timeout $seconds sh -c 'echo begun; test $1 = fast || sleep 1000' sh ::: fast slow
        lines "$out" 2 && lines "$err" 1 && break
    done
    is "$status" 124
    is "$(cat "$out")" "begun
begun"
    is "$(cat "$err")" "motet map: job 2 (sh -c echo begun; test \$1 = fast || sleep 1000 sh slow): \
timed out after $seconds s"
    map -k --timeout 0.2 sh -c '$1' sh ::: false 'sleep 1000'
    is "$status" 124
    map --timeout 1000 true ::: a
    is "$status" 0
}

no_list()
{
    map -a "$dir/none" echo
    is "$status" 2
    has "$err" "$dir/none: No such file or directory"
    map -a "$dir" echo
    is "$status" 2
    has "$err" "$dir: Is a directory"
    map echo <&-
    is "$status" 2
    has "$err" "standard input: Bad file descriptor"
}

# refused TEXT ARGUMENT ...: wrong usage, nothing run, the text in what is said.
refused()
{
    text=$1
    shift
    map "$@" </dev/null
    [ "$status" = 2 ] || complain "status $status for: $*"
    is "$(cat "$out")" ""
    has "$err" "$text"
}

wrong_usage()
{
    refused "no command to run"
    refused "no command to run" -j 2
    refused "no command to run" ::: a
    for n in 0 -1 x 2x 1.5 '' 10001 99999999999999999999 0x2 ' 2'; do
        refused "-j $n: not a number from 1 to 10000" -j "$n" echo ::: a
    done
    for s in nan -1 x 0 '' inf 1s 0x1 -0 1e -inf; do
        refused "--timeout $s: not a number of seconds above 0" --timeout "$s" echo ::: a
    done
    for w in 0 -1 x '' 101% 0% % 1.5 now,2 NOW; do
        refused "--fail $w: not one of now, soon, never, a number such as 3 or a share such as 10%" \
            --fail "$w" echo ::: a
    done
    for x in 0 -1 x '' 1x 1%% nan inf; do
        refused "--load $x: not a number of processes such as 2.5, nor a share of the processors such as 80%" \
            --load "$x" echo ::: a
    done
    for x in 0 -1 x '' 1X 1GB 1KK K; do
        refused "--min-free $x: not a size such as 500M or 2G" --min-free "$x" echo ::: a
    done
    refused "--retry -1: not a number from 0 to 1000" --retry -1 echo ::: a
    refused "--retry 1001: not a number from 0 to 1000" --retry 1001 echo ::: a
    refused "--retry-delay -1: not a number of seconds" --retry-delay -1 echo ::: a
    refused "--retry-delay 1e400: not a number of seconds" --retry-delay 1e400 echo ::: a
    refused "--delay x: not a number of seconds above 0" --delay x echo ::: a
    refused "--resume needs --log FILE, the log of what was done" --resume echo ::: a
    refused "--fail needs now, soon, never, a number or a share" --fail
    refused "unknown option --halt; it is --fail here" --halt now echo ::: a
    refused "--colsep : not a separator" --colsep "" echo ::: a
    refused "with --shell the command is one argument" --shell echo {} ::: a
    refused "-k cannot order it" -k --line echo ::: a
    refused "-k cannot order it" -k --raw echo ::: a
    refused "--tag cannot mark it" --tag --raw echo ::: a
    refused "-j needs a number" -j
    refused "-a needs a file" -a
    refused "--timeout needs a number of seconds" --timeout
    refused "unknown option --frobnicate" --frobnicate echo ::: a
    refused "unknown option -P; it is -j here" -P 4 echo ::: a
    refused "unknown option --keep-order; it is -k here" --keep-order echo ::: a
    refused "unknown option -x" -kx echo ::: a
    refused "--progress=1: this option takes no value" --progress=1 echo ::: a
    refused "not from both" -a /dev/null echo ::: a
    has "$err" "'motet map --help' shows the usage"
}

numbers_that_are_fine()
{
    for n in 1 2 10000; do
        map -j $n echo ::: a
        is "$status$(cat "$out")" 0a
    done
    for s in 100 1e3 100.5 1e300; do
        map --timeout $s echo ::: a
        is "$status$(cat "$out")" 0a
    done
    for x in 1 2.5 80% 1000%; do
        map --load $x echo ::: a
        is "$status$(cat "$out")" 0a
    done
    for x in 1 1k 1K 1.5M 0.001G; do
        map --min-free $x echo ::: a
        is "$status$(cat "$out")" 0a
    done
    for x in never soon now 1 99 0.5% 100%; do
        map --fail $x echo ::: a
        is "$status$(cat "$out")" 0a
    done
}

help_and_version()
{
    "$motet" --version >"$out" 2>&1
    is $? 0
    holds grep -qx 'motet [0-9]*\.[0-9]*\.[0-9]*' "$out"
    for words in --help -h help; do
        "$motet" $words >"$out" 2>"$err"
        is $? 0
        has "$out" "motet map"
        is "$(cat "$err")" ""
    done
    "$motet" help map >"$dir/help"
    is $? 0
    for words in --help -h "-k -j 2 --help"; do
        map $words
        is "$status" 0
        holds cmp -s "$out" "$dir/help"
    done
    "$motet" >"$out" 2>"$err"
    is $? 2
    "$motet" mop >"$out" 2>"$err"
    is $? 2
    has "$err" "no such command: mop"
    "$motet" --mop >"$out" 2>"$err"
    is $? 2
    "$motet" help mop >"$out" 2>"$err"
    is $? 2
    "$motet" --version >/dev/full 2>"$err"
    is $? 1
}

run success_is_silent
run a_failing_job_is_named
run a_killed_job_is_named
run a_long_command_is_cut
run no_such_command
run others_run_when_one_fails
run a_time_out_has_its_own_status
run no_list
run wrong_usage
run numbers_that_are_fine
run help_and_version
finish
