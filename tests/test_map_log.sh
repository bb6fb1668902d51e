#!/bin/sh
# The log of --log: true, whole whatever happens, and enough for --resume to go on.
# modes: plain asan
. "$(dirname "$0")/map_helpers.sh"

# log_says EXPRESSION: what Python makes of it, with all lines of $dir/log as `jobs`, bytes for bytes.
log_says()
{
    python3 - "$dir/log" "$1" <<'END'
import json, os, sys
jobs = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8", errors="strict")]
for job in jobs:
    job["item"] = os.fsencode(job["item"])
    job["argv"] = [os.fsencode(arg) for arg in job["argv"]]
print(eval(sys.argv[2]))
END
}

logged()
{
    map --log "$dir/log" "$@"
}

a_line_about_each_job()
{
    logged -k -j 2 sh -c 'echo out; echo error >&2; eval "$1"' sh {} {%} ::: true 'exit 3' 'kill -9 $$' \
        motet-no-such-command
    is "$status" 1
    is "$(log_says '[(j["job"], j["item"], j["ok"], j["outcome"], j.get("status"), j.get("signal")) for j in jobs]')" \
        "[(1, b'true', True, 'exited', 0, None), (2, b'exit 3', False, 'exited', 3, None), \
(3, b'kill -9 \$\$', False, 'killed', None, 9), (4, b'motet-no-such-command', False, 'exited', 127, None)]"
    is "$(log_says 'jobs[0]["argv"][3:] == [b"sh", b"true", b"%d" % jobs[0]["slot"]]')" True
    is "$(log_says 'all(j["slot"] in (1, 2) for j in jobs)')" True
    is "$(log_says 'jobs[0]["out"], jobs[0]["err"]')" "(4, 6)"
    is "$(log_says 'all(0 < j["end"] - j["start"] < 3600 for j in jobs)')" True
    is "$(log_says 'all(abs(j["end"] - __import__("time").time()) < 3600 for j in jobs)')" True
    is "$(log_says 'all(j["memory"] > 100000 and j["user"] >= 0 for j in jobs)')" True
}

what_has_been_used()
{
    logged sh -c 'i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done; dd if=/dev/zero of=/dev/null bs=30M count=1' ::: a
    is "$(log_says '0.01 < jobs[0]["user"] + jobs[0]["system"] < 100 and jobs[0]["memory"] > 30e6')" True
}

other_outcomes()
{
    PATH=/usr/bin:/bin logged motet-no-such-command ::: a
    is "$(log_says 'jobs[0]["outcome"], jobs[0]["problem"], jobs[0]["ok"]')" \
        "('cannot run', 'No such file or directory', False)"
    logged --timeout 0.1 sleep ::: 1000
    is "$(log_says 'jobs[1]["outcome"], jobs[1]["ok"], jobs[1]["end"] - jobs[1]["start"] > 0.09')" \
        "('timed out', False, True)"
    printf 'a\0b\n' | "$motet" map --log "$dir/log" echo 2>"$err"
    is "$(log_says 'jobs[2]["outcome"], jobs[2]["item"], "NUL" in jobs[2]["problem"]')" \
        "('cannot run', b'a', True)"
}

any_bytes()
{
    python3 -c '
import sys
out = sys.stdout.buffer
out.write(bytes(range(1, 256)) + b"\0")
for text in (b"\xed\xb2\x80", b"\xc0\x80", b"\xf0\x9f\x98\x80", b"\xf4\x90\x80\x80", b"\xe4\xb8", b"\xf8\x88\x80\x80\x80",
             "häßlich 中文 \u2028\ufffd".encode(), b"\\u0041 </script>", b""):
    out.write(text + b"\0")' >"$dir/list"
    logged -0 -k -a "$dir/list" sh -c ': "$1"' sh
    is "$status" 0
    is "$(log_says 'b"".join(j["item"] + b"\0" for j in jobs) == open(sys.argv[1][:-3] + "list", "rb").read()')" True
    is "$(log_says 'all(j["argv"][-1] == j["item"] for j in jobs)')" True
    # And we understand them ourselves.
    logged -0 -k -a "$dir/list" --resume sh -c ': "$1"' sh
    is "$(log_says 'len(jobs)')" 10
}

an_item_as_long_as_can_be()
{
    head -c 131071 /dev/zero | tr '\0' '\1' >"$dir/list"
    logged -a "$dir/list" true
    is "$status" 0
    logged -a "$dir/list" --resume true
    is "$(log_says 'len(jobs), len(jobs[0]["item"])')" "(1, 131071)"
}

resume_leaves_out_what_is_done()
{
    logged -k sh -c 'echo $1; test $1 != 2 || test -e "$2/good"' sh {} "$dir" ::: 1 2 3
    is "$status" 1
    : >"$dir/good"
    # 2 had failed, 4 is new, and the numbers are those of the list.
    logged -k --resume sh -c 'echo $1; test $1 != 2 || test -e "$2/good"' sh {} "$dir" ::: 4 1 2 3
    is "$status" 0
    is "$(cat "$out")" "4
2"
    is "$(log_says '[(j["job"], j["item"]) for j in jobs[3:]]')" "[(1, b'4'), (3, b'2')]"
    logged -k --resume sh -c 'echo $1; test $1 != 2 || test -e "$2/good"' sh {} "$dir" ::: 4 1 2 3
    is "$status" 0
    is "$(cat "$out" "$err")" ""
}

resume_counts_equal_items()
{
    logged echo ::: a a
    logged --resume echo ::: a b a a
    is "$(sort "$out")" "a
b"
    logged --resume echo ::: a b a a
    is "$(cat "$out")" ""
}

resume_whatever_the_number_and_slot()
{
    logged echo '{} {#} {%} {/.}' ::: a/b.c d
    logged --resume echo '{} {#} {%} {/.}' ::: 0 a/b.c d
    is "$(cat "$out")" "0 1 1 0"
}

resume_another_command()
{
    logged echo ::: a b
    logged -k --resume echo -n ::: a b
    is "$(cat "$out")" "ab"
    has "$err" "$dir/log: no job in it had this command; all are run"
    logged --resume echo ::: a b
    is "$(cat "$out" "$err")" ""
}

resume_without_a_log_yet()
{
    logged --resume echo ::: a
    is "$(cat "$out")" a
    is "$(log_says 'len(jobs)')" 1
}

without_resume_lines_are_added()
{
    logged -k echo ::: a b
    logged -k echo ::: a b
    is "$(cat "$out")" "a
b"
    is "$(log_says '[j["item"] for j in jobs]')" "[b'a', b'b', b'a', b'b']"
}

a_torn_line_is_taken_off()
{
    logged -k -j 1 echo ::: a b
    cp "$dir/log" "$dir/whole"
    first=$(head -n 1 "$dir/whole" | wc -c)
    size=$(wc -c <"$dir/whole")
    for cut in $((first + 1)) $((first + 3)) $((first + 7)) $((first + 30)) $((size - 1)); do
        head -c $cut "$dir/whole" >"$dir/log"
        logged --resume echo ::: a b
        is "$status$(cat "$out" "$err")" 0b
        is "$(log_says '[j["item"] for j in jobs]')" "[b'a', b'b']"
    done
    # What a crash of the machine may leave.
    head -n 1 "$dir/whole" >"$dir/log"
    head -c 10000 /dev/zero >>"$dir/log"
    logged --resume echo ::: a b
    is "$status$(cat "$out" "$err")" 0b
    is "$(log_says '[j["item"] for j in jobs]')" "[b'a', b'b']"
    head -c 100 /dev/zero >"$dir/log"
    logged echo ::: a
    is "$(log_says '[j["item"] for j in jobs]')" "[b'a']"
}

# refuses FILE-CONTENT TEXT OPTION ...: nothing is run, and the file stays as it is.
refuses()
{
    printf "$1" >"$dir/log"
    cp "$dir/log" "$dir/before"
    text=$2
    shift 2
    logged "$@" echo ::: a
    is "$status" 2
    is "$(cat "$out")" ""
    has "$err" "$text"
    holds cmp "$dir/log" "$dir/before"
}

what_is_no_log()
{
    refuses 'precious\n' "$dir/log: this file is no log of motet map; name another one"
    refuses '{"job":1}\n{"jack' "its last line has no end, and is none of a log of motet map"
    refuses '{"job":1}\n' "$dir/log, line 1: not a line of a log of motet map" --resume
    good='{"job":1,"item":"a","argv":["echo","a"],"slot":1,"ok":true}\n'
    for bad in '{}' '{"item":"a"' '[]' '{"item":"a\\u0000"}' '{"item":"\\ud800"}' '{"item":"\\udc7f"}' \
        '{"item":1}' '{"item":"a","x":}' '{"item":"a","x":[[[[[[[[[[1]]]]]]]]]]}' '{"item":"a"} x' ''; do
        case $bad in *\\\\*) ;; *) bad=$(printf %s "$bad" | sed 's/\\/\\\\/g') ;; esac
        refuses "$good$bad\n" "$dir/log, line 2: not a line of a log of motet map" --resume
    done
    printf '{ "slot" : 1, "extra" : [{"a":[null, -1.5e3]}, "x"], "argv" : [ "echo", "\\u0061" ],
"job" : 7, "ok" : true, "item" : "\\u0061" }\n' | tr '\n' ' ' >"$dir/log"
    echo >>"$dir/log"
    logged --resume echo ::: a b
    is "$status$(cat "$out" "$err")" 0b
    map --log "$dir/none/log" echo ::: a
    is "$status" 2
    has "$err" "$dir/none/log: No such file or directory"
}

one_run_at_a_time()
{
    mkfifo "$dir/go"
    "$motet" map --log "$dir/log" sh -c ': >"$1/runs"; read x <"$1/go"' sh ::: "$dir" 2>"$dir/err1" &
    runner=$!
    strays=$runner
    wait_until test -e "$dir/runs"
    logged echo ::: a
    is "$status" 2
    has "$err" "$dir/log: another run is writing to it"
    echo >"$dir/go"
    wait $runner
    is $? 0
    logged echo ::: a
    is "$status" 0
    is "$(log_says 'len(jobs)')" 2
}

killed_and_resumed()
{
    # Each job notes that it ran. What is in the log when a run begins is not run again.
    seq 120 >"$dir/list"
    for delay in 0.03 0.1 0.05 0.15 0.07 0.2 0.1; do
        "$motet" map -j 4 --log "$dir/log" --resume -a "$dir/list" sh -c 'echo $1 >>"$2"' sh {} "$dir/ran" \
            >"$out" 2>"$err" &
        runner=$!
        sleep $delay
        {
            kill -KILL $runner
            wait $runner
        } 2>/dev/null
        if [ -e "$dir/log" ]; then
            # (The last line may be torn: that is what the next run mends.)
            sed -n 's/^{"job":[0-9]*,"item":"\([0-9]*\)".*"ok":true.*}$/\1/p' "$dir/log" | sort >"$dir/done"
            [ ! -e "$dir/done.before" ] || is "$(comm -23 "$dir/done.before" "$dir/done")" ""
            mv "$dir/done" "$dir/done.before"
        fi
    done
    logged -j 4 --resume -a "$dir/list" sh -c 'echo $1 >>"$2"' sh {} "$dir/ran"
    is "$status" 0
    is "$(log_says 'len(jobs)')" 120
    is "$(log_says 'sorted(int(j["item"]) for j in jobs) == list(range(1, 121))')" True
    is "$(sort -nu "$dir/ran")" "$(seq 120)"
    # At most those that were under way at each kill: four that ran, and the few that had come back.
    holds test "$(wc -l <"$dir/ran")" -le $((120 + 7 * 14))
}

stopped_and_resumed()
{
    "$motet" map -j 1 --log "$dir/log" sh -c '[ $1 != 2 ] || { : >"$2/second"; sleep 1000; }' sh {} "$dir" \
        ::: 1 2 3 2>"$err" &
    runner=$!
    strays=$runner
    wait_until test -e "$dir/second"
    kill -INT $runner
    wait $runner
    is $? 130
    is "$(log_says '[(j["item"], j["outcome"], j["ok"]) for j in jobs]')" \
        "[(b'1', 'exited', True), (b'2', 'stopped', False)]"
    logged --resume sh -c '[ $1 != 2 ] || { : >"$2/second"; sleep 1000; }' sh {} "$dir" ::: 1 3
    is "$(log_says '[j["item"] for j in jobs[2:]]')" "[b'3']"
}

output_that_was_lost()
{
    "$motet" map --log "$dir/log" echo ::: a >/dev/full 2>"$err"
    is $? 1
    is "$(log_says 'jobs[0]["ok"], jobs[0]["outcome"], jobs[0]["output_lost"]')" "(False, 'exited', True)"
    {
        "$motet" map -j 1 --log "$dir/log" sh -c '[ $1 = 1 ] || until [ -e "$2/read" ]; do sleep 0.05; done; echo $1' \
            sh {} "$dir" ::: 1 2 3 2>"$err"
        echo $? >"$dir/status"
    } | {
        head -n 1 >"$out"
        exec <&-
        : >"$dir/read"
    }
    wait_until test -s "$dir/status"
    is "$(cat "$dir/status")" 141
    # Only what was read is done.
    is "$(log_says '[(j["item"], j["ok"]) for j in jobs[1:3]]')" "[(b'1', True), (b'2', False)]"
}

a_log_that_cannot_be_written()
{
    seq 100 | "$motet" map -j 1 --log /dev/full sh -c 'echo $1 >>"$2"' sh {} "$dir/ran" 2>"$err"
    is $? 2
    is "$(cat "$err")" "motet map: /dev/full: No space left on device"
    # One that is not in the log, and those that had been begun meanwhile.
    holds test "$(wc -l <"$dir/ran")" -lt 10
}

a_log_that_is_cut_short()
{
    # In the middle of a line, which is taken off again.
    seq 100 | (
        ulimit -f 3
        exec "$motet" map -k -j 1 --log "$dir/log" true
    ) 2>"$err"
    is $? 2
    has "$err" "$dir/log: File too large"
    is "$(log_says '[j["job"] for j in jobs] == list(range(1, len(jobs) + 1)) and 3 < len(jobs) < 50')" True
    seq 100 | "$motet" map -k -j 1 --log "$dir/log" --resume true
    is "$(log_says '[j["job"] for j in jobs] == list(range(1, 101))')" True
}

a_log_that_is_no_file()
{
    "$motet" map -k --log /dev/fd/3 echo ::: a b 3>&1 >"$out" | cat >"$dir/log"
    is "$(log_says '[j["item"] for j in jobs]')" "[b'a', b'b']"
    "$motet" map --log /dev/fd/3 --resume echo ::: a b 3>&1 >"$out" 2>"$err" | cat
    has "$err" "/dev/fd/3: --resume needs a log that is a file"
}

in_order_with_k()
{
    seq 200 | "$motet" map -k -j 8 --log "$dir/log" echo >"$out"
    is "$(log_says '[j["job"] for j in jobs] == list(range(1, 201))')" True
    rm "$dir/log"
    seq 2000 | "$motet" map -j 8 --log "$dir/log" true
    is "$(log_says 'sorted(j["job"] for j in jobs) == list(range(1, 2001))')" True
}

if ! command -v python3 >/dev/null; then
    echo "no python3 to read the log with"
    exit 77
fi
run a_line_about_each_job
run what_has_been_used
run other_outcomes
run any_bytes
run an_item_as_long_as_can_be
run resume_leaves_out_what_is_done
run resume_counts_equal_items
run resume_whatever_the_number_and_slot
run resume_another_command
run resume_without_a_log_yet
run without_resume_lines_are_added
run a_torn_line_is_taken_off
run what_is_no_log
run one_run_at_a_time
run killed_and_resumed
run stopped_and_resumed
run output_that_was_lost
run a_log_that_cannot_be_written
run a_log_that_is_cut_short
run a_log_that_is_no_file
run in_order_with_k
finish
