#!/bin/sh
# What jobs write: whole, never mixed, in order with -k, and what happens when it cannot be passed on.
# modes: plain asan
. "$(dirname "$0")/map_helpers.sh"

# Each job writes its number in many small pieces, to both outputs.
writes_in_pieces='
i=0
while [ $i -lt 20 ]; do
    printf "%s " "$1"
    printf "%s " "$1" >&2
    i=$((i + 1))
done
echo
echo >&2'

# whole FILE JOBS: as many lines, each made of one number, 20 times.
whole()
{
    awk -v jobs="$2" '
        NF != 20 { print "line " NR ": " $0; bad = 1 }
        { for (i = 2; i <= NF; i++) if ($i != $1) { print "mixed: " $0; bad = 1; break } seen[$1]++ }
        END { for (i = 1; i <= jobs; i++) if (seen[i] != 1) { print "job " i; bad = 1 } exit bad }
    ' "$1"
}

never_mixed()
{
    seq 200 | "$motet" map -j 8 sh -c "$writes_in_pieces" sh >"$out" 2>"$err"
    is $? 0
    holds whole "$out" 200
    holds whole "$err" 200
}

never_mixed_in_one_pipe()
{
    seq 100 | "$motet" map -j 8 sh -c "$writes_in_pieces" sh 2>&1 | cat >"$out"
    is "$(wc -l <"$out")" 200
    is "$(uniq "$out" | wc -l)" 100 # a job's error output follows its output at once
}

the_order_of_the_items()
{
    # Job 1 ends last: it waits for all others to have begun.
    mkdir "$dir/begun"
    seq 8 | "$motet" map -k -j 8 sh -c '
        : >"$2/$1"
        [ "$1" != 1 ] || until [ "$(ls "$2" | wc -l)" = 8 ]; do sleep 0.05; done
        echo "$1"; echo "error $1" >&2' sh {} "$dir/begun" >"$out" 2>"$err"
    is $? 0
    is "$(cat "$out")" "$(seq 8)"
    is "$(cat "$err")" "$(seq -f 'error %g' 8)"
}

without_k_as_they_end()
{
    # Job 1 ends when the output of job 2 has been written.
    : >"$out"
    "$motet" map -j 2 sh -c '
        [ "$1" != 1 ] || until grep -q 2 "$2"; do sleep 0.05; done
        echo $1' sh {} "$out" ::: 1 2 >>"$out"
    is "$(cat "$out")" "2
1"
}

a_slow_first_job_holds_up_no_others()
{
    # Without -k the list goes on however far, while job 1 runs.
    : >"$out"
    seq 500 | "$motet" map -j 2 sh -c '
        [ "$1" != 1 ] || until grep -qx 500 "$2"; do sleep 0.05; done
        echo $1' sh {} "$out" >>"$out"
    is "$(wc -l <"$out")" 500
    is "$(tail -n 1 "$out")" 1
    : >"$out"
    mkdir "$dir/begun"
    seq 500 | "$motet" map -k -j 2 sh -c '
        [ "$1" != 500 ] || : >"$2/last"
        [ "$1" != 1 ] || until [ -e "$2/last" ]; do sleep 0.05; done
        echo $1' sh {} "$dir/begun" >>"$out"
    is "$(cat "$out")" "$(seq 500)"
}

big_outputs()
{
    size=${MOTET_BIG:-100000000}
    map -k -j 2 sh -c 'yes "line of job $1" | head -c $2; echo; yes "error of job $1" | head -c 1000000 >&2' \
        sh {} $size ::: 1 2
    is "$status" 0
    for n in 1 2; do
        yes "line of job $n" | head -c $size
        echo
    done | cmp - "$out" || complain "the output differs"
    for n in 1 2; do
        yes "error of job $n" | head -c 1000000
    done | cmp - "$err" || complain "the error output differs"
}

big_outputs_through_a_pipe()
{
    size=10000000
    "$motet" map -k sh -c 'head -c $1 /dev/zero' sh {} ::: $size $size | wc -c >"$out"
    is "$(cat "$out")" $((2 * size))
    # Nowhere to put what does not fit into memory: memory after all.
    TMPDIR=$dir/none "$motet" map -k sh -c 'head -c $1 /dev/zero' sh {} ::: $size | wc -c >"$out"
    is "$(cat "$out")" $size
}

binary_output()
{
    head -c 100000 /dev/urandom >"$dir/random"
    map cat ::: "$dir/random"
    holds cmp "$out" "$dir/random"
    map printf '%b' ::: 'a\0b'
    is "$(od -An -c "$out" | tr -d ' ')" 'a\0b'
}

a_command_that_closes_its_outputs()
{
    # It is waited for all the same.
    map sh -c 'echo said; exec >&- 2>&-; sleep 0.02; : >"$1"; exit 4' sh ::: "$dir/end"
    is "$status" 1
    is "$(cat "$out")" said
    holds test -e "$dir/end"
    has "$err" "exited with status 4"
}

standard_output_opened_by_name()
{
    map sh -c 'echo 1; echo 2 >/dev/stdout; echo 3; echo 4 >/dev/stderr; echo 5 >/dev/stderr' ::: x
    is "$status" 0
    is "$(cat "$out")" "1
2
3"
    is "$(cat "$err")" "4
5"
}

what_is_left_in_the_background_is_no_hindrance()
{
    map -j 1 sh -c 'sleep 1000 & echo $!; echo $! >>"$1/pids"' sh {} ::: "$dir" "$dir"
    strays=$(cat "$dir/pids")
    is "$status" 0
    is "$(cat "$out")" "$strays"
    # It lives on: nobody stopped anything.
    for pid in $strays; do
        holds kill -0 "$pid"
    done
}

the_tail_of_a_pipeline_is_part_of_the_output()
{
    # The command ends at once; what it started in the background writes a little later. It has a
    # second for that, which a busy machine may be too slow for: not five times, though.
    for try in 1 2 3 4 5; do
        map -k sh -c '(sleep 0.1; echo late $1) & echo early $1' sh ::: 1 2
        lines "$out" 4 && break
    done
    is "$(cat "$out")" "early 1
late 1
early 2
late 2"
}

a_full_disk()
{
    "$motet" map -k sh -c 'echo $1; : >"$2/ran$1"' sh {} "$dir" ::: 1 2 3 >/dev/full 2>"$err"
    is $? 1
    is "$(grep -c 'its output is lost: No space left on device' "$err")" 3
    has "$err" "job 2 (sh -c"
    holds test -e "$dir/ran3"
    # What writes nothing loses nothing.
    "$motet" map true ::: 1 >/dev/full 2>"$err"
    is $? 0
    "$motet" map sh -c 'echo x >&2' ::: 1 2>/dev/full
    is $? 1
}

a_limit_on_the_size_of_files()
{
    (
        ulimit -f 8
        exec "$motet" map -k -j 1 sh -c 'head -c $1 /dev/zero' sh ::: 1000 100000 >"$out" 2>"$err"
    )
    is $? 1
    has "$err" "job 2 (sh -c head -c \$1 /dev/zero sh 100000): its output is cut short: File too large"
}

an_output_that_cannot_be_kept()
{
    # What does not fit into memory goes to a file, and no file may be that large. The job is not
    # held up by that.
    {
        (
            ulimit -f 100
            exec "$motet" map -j 1 sh -c 'head -c $1 /dev/zero; : >"$2/ran$1"' sh {} "$dir" \
                ::: 1000000 1000 2>"$err"
        )
        echo $? >"$dir/status"
    } | wc -c >"$out"
    is "$(cat "$dir/status")" 1
    is "$(wc -l <"$err")" 1
    has "$err" "job 1 (sh -c"
    has "$err" "its output is cut short: File too large"
    holds test -e "$dir/ran1000000"
    holds test -e "$dir/ran1000"
    holds test "$(cat "$out")" -lt 1000000
}

a_closed_output()
{
    "$motet" map echo ::: 1 2 >&- 2>"$err"
    is $? 1
    is "$(grep -c 'its output is lost: Bad file descriptor' "$err")" 2
    "$motet" map echo ::: 1 2>&- >"$out"
    is $? 0
    is "$(cat "$out")" 1
    # None of them: no descriptor of ours gets into their place.
    "$motet" map sh -c 'echo x; : >"$1"' sh ::: "$dir/ran" <&- >&- 2>&-
    is $? 1
    holds test -e "$dir/ran"
}

a_reader_that_has_enough()
{
    # Endless: only the closed pipe ends it. Quietly, and with the status that SIGPIPE stands for.
    {
        yes | "$motet" map sh -c 'echo $$ >>"$1/pids"; echo out' sh "$dir" {} 2>"$err"
        echo $? >"$dir/status"
    } | head -n 1 >"$out"
    is "$(cat "$out")" out
    wait_until test -s "$dir/status"
    is "$(cat "$dir/status")" 141
    is "$(cat "$err")" ""
    for pid in $(cat "$dir/pids"); do
        holds gone "$pid"
    done
}

a_slow_reader_gets_everything()
{
    seq 2000 | "$motet" map -k -j 4 printf '%0500d\n' | {
        sleep 0.3
        cat
    } >"$out"
    is "$(wc -c <"$out")" 1002000
}

an_output_that_does_not_block()
{
    # A pipe with O_NONBLOCK set by its reader is full again and again: no write may be given up.
    if ! command -v python3 >/dev/null; then
        return
    fi
    python3 - "$motet" >"$out" <<'END'
import fcntl, os, subprocess, sys, time
r, w = os.pipe()
fcntl.fcntl(w, fcntl.F_SETFL, os.O_NONBLOCK)
p = subprocess.Popen([sys.argv[1], "map", "-k", "sh", "-c", "head -c 300000 /dev/zero", "sh",
                      ":::", "1", "2"], stdout=w)
os.close(w)
total = 0
while data := os.read(r, 10000):
    total += len(data)
print(total, p.wait())
END
    is "$(cat "$out")" "600000 0"
}

run never_mixed
run never_mixed_in_one_pipe
run the_order_of_the_items
run without_k_as_they_end
run a_slow_first_job_holds_up_no_others
run big_outputs
run big_outputs_through_a_pipe
run binary_output
run a_command_that_closes_its_outputs
run standard_output_opened_by_name
run what_is_left_in_the_background_is_no_hindrance
run the_tail_of_a_pipeline_is_part_of_the_output
run a_full_disk
run a_limit_on_the_size_of_files
run an_output_that_cannot_be_kept
run a_closed_output
run a_reader_that_has_enough
run a_slow_reader_gets_everything
run an_output_that_does_not_block
finish
