#!/bin/sh
# Output that does not wait for the end of its job: --line and --raw; and --tag.
# modes: plain asan
. "$(dirname "$0")/map_helpers.sh"

lines_as_they_come()
{
    # The job goes on when its first line has been read.
    : >"$out"
    "$motet" map --line sh -c '
        echo first; until grep -q first "$1"; do sleep 0.05; done
        echo second; until grep -q second "$1"; do sleep 0.05; done
        echo third >&2; printf rest' sh ::: "$out" >>"$out" 2>"$err"
    is $? 0
    is "$(cat "$out")" "first
second
rest"
    is "$(cat "$err")" third
}

only_whole_lines()
{
    # Half a line is held back while the other job's lines pass.
    : >"$out"
    "$motet" map -j 2 --line sh -c '
        if [ $1 = 1 ]; then
            printf half; : >"$3/half"
            until grep -q two "$2"; do sleep 0.05; done
            echo " whole"
        else
            until [ -e "$3/half" ]; do sleep 0.05; done
            echo two
        fi' sh {} "$out" "$dir" ::: 1 2 >>"$out"
    is $? 0
    is "$(cat "$out")" "two
half whole"
}

lines_never_mix()
{
    seq 30 | "$motet" map -j 8 --line sh -c '
        i=0
        while [ $i -lt 40 ]; do
            printf "%s " "$1"; printf "%s" "$1 "; printf "%s\n" "$1"
            i=$((i + 1))
        done' sh >"$out"
    is "$(wc -l <"$out")" 1200
    awk 'NF != 3 || $1 != $2 || $2 != $3 { print; bad = 1 } END { exit bad }' "$out" || complain "mixed"
    is "$(sort "$out" | uniq -c | awk '$1 != 40')" ""
}

long_lines_and_binary()
{
    # Longer than what is kept in memory.
    "$motet" map -j 2 --line sh -c '
        head -c 1000000 /dev/zero | tr "\0" "$1"; echo; head -c 300000 /dev/zero | tr "\0" "$1"; echo; echo $1' \
        sh ::: a b >"$out"
    is "$(awk '{ n = length; c = substr($0, 1, 1); print n, c, gsub(c, "") == n }' "$out" | sort)" \
        "1 a 1
1 b 1
1000000 a 1
1000000 b 1
300000 a 1
300000 b 1"
    head -c 100000 /dev/urandom >"$dir/random"
    echo >>"$dir/random"
    map --line cat ::: "$dir/random"
    holds cmp "$dir/random" "$out"
}

an_endless_line_writer_and_a_reader_that_has_enough()
{
    {
        "$motet" map -j 2 --line yes ::: a b 2>"$err"
        echo $? >"$dir/status"
    } | head -n 1000 | wc -l >"$out"
    is "$(cat "$out")" 1000
    wait_until test -s "$dir/status"
    is "$(cat "$dir/status")" 141
    is "$(cat "$err")" ""
}

ctrl_c_while_lines_wait_for_their_reader()
{
    mkfifo "$dir/pipe"
    "$motet" map -j 2 --line sh -c 'echo $$ >>"$1/pids"; exec yes' sh "$dir" ::: a b >"$dir/pipe" 2>"$err" &
    runner=$!
    strays=$runner
    exec 5<"$dir/pipe"
    wait_until lines "$dir/pids" 2
    pids=$(cat "$dir/pids")
    strays="$strays $pids"
    kill -INT $runner
    wait $runner
    is $? 130
    exec 5<&-
    for pid in $pids; do
        gone "$pid" || complain "process $pid is left"
    done
}

timeouts_and_lines()
{
    for seconds in $longer_times; do
        map --line --timeout $seconds sh -c 'echo begun; printf half; exec sleep 1000' ::: a
        grep -q half "$out" && break
    done
    is "$status" 124
    is "$(cat "$out")" "begun
half"
    map --line --timeout 0.3 yes ::: a
    is "$status" 124
}

lines_that_are_lost()
{
    "$motet" map --line --log "$dir/log" sh -c 'echo a; echo b; : >"$1"' sh ::: "$dir/ran" >/dev/full 2>"$err"
    is $? 1
    is "$(wc -l <"$err")" 1
    has "$err" "its output is cut short: No space left on device"
    has "$dir/log" '"ok":false'
    has "$dir/log" '"output_lost":true'
    holds test -e "$dir/ran"
}

sizes_in_the_log()
{
    map --line --log "$dir/log" sh -c 'echo 12345; echo 12; printf 1 >&2' ::: a
    has "$dir/log" '"out":9,"err":1}'
}

tags()
{
    map -k --tag sh -c 'echo 1; echo; printf 3; echo error >&2' sh ::: a 'b c'
    is "$status" 0
    tab=$(printf '\t')
    is "$(cat "$out")" "a${tab}1
a${tab}
a${tab}3
b c${tab}1
b c${tab}
b c${tab}3"
    is "$(cat "$err")" "a${tab}error
b c${tab}error"
    map --tag echo x ::: 'two
lines'
    is "$(head -n 1 "$out")" "two lines${tab}x two"
    map --tag true ::: a
    is "$(cat "$out")" ""
}

tags_on_lines()
{
    seq 20 | "$motet" map -j 4 --line --tag sh -c 'seq 500; printf end' sh >"$out"
    is "$(wc -l <"$out")" $((20 * 501))
    is "$(sort -u "$out" | wc -l)" $((20 * 501))
    for n in 1 7 20; do
        # In order within a job.
        sed -n "s/^$n	//p" "$out" >"$dir/one"
        {
            seq 500
            echo end
        } | cmp - "$dir/one" || complain "the lines of $n are not in order"
    done
    # More than is gathered at a time.
    map --tag sh -c 'seq 100000; head -c 20000 /dev/zero | tr "\0" x' ::: t
    is "$(sed 's/^t	//' "$out" | head -n 100000 | cksum)" "$(seq 100000 | cksum)"
    is "$(tail -n 1 "$out" | wc -c)" 20003
}

raw()
{
    # The jobs have the file itself.
    : >"$out"
    "$motet" map --raw sh -c 'readlink /proc/self/fd/1 /proc/self/fd/2' ::: a >"$out" 2>"$err"
    is "$(cat "$out")" "$out
$err"
    : >"$out"
    "$motet" map --raw -j 2 sh -c '
        printf "$1"
        until grep -q 1 "$2" && grep -q 2 "$2"; do sleep 0.05; done' sh {} "$out" ::: 1 2 >>"$out"
    is $? 0
    is "$(wc -c <"$out")" 2
    map --raw --timeout 0.3 sleep ::: 1000
    is "$status" 124
    map --raw sh -c 'exit 3' ::: a
    is "$status" 1
    has "$err" "exited with status 3"
    seq 300 | "$motet" map --raw -j 4 echo >"$out"
    is "$(sort -n "$out")" "$(seq 300)"
    "$motet" map --raw echo ::: a >&- 2>"$err"
    is $? 1
}

raw_jobs_end_with_us_too()
{
    "$motet" map --raw -j 2 sh -c 'echo $$ >>"$1/pids"; exec sleep 100000' sh "$dir" ::: a b >"$out" 2>"$err" &
    runner=$!
    strays=$runner
    wait_until lines "$dir/pids" 2
    pids=$(cat "$dir/pids")
    strays="$strays $pids"
    kill -KILL $runner
    {
        wait $runner
    } 2>/dev/null
    for pid in $pids; do
        wait_until gone "$pid"
    done
}

run lines_as_they_come
run only_whole_lines
run lines_never_mix
run long_lines_and_binary
run an_endless_line_writer_and_a_reader_that_has_enough
run ctrl_c_while_lines_wait_for_their_reader
run timeouts_and_lines
run lines_that_are_lost
run sizes_in_the_log
run tags
run tags_on_lines
run raw
run raw_jobs_end_with_us_too
finish
