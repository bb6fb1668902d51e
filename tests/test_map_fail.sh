#!/bin/sh
# Jobs that fail: how often they are tried again, and how many of them are enough.
# modes: plain asan
. "$(dirname "$0")/map_helpers.sh"

# Fails until it has been tried $3 times; notes each attempt.
fails_at_first='
echo "$1" >>"$2/attempts"
n=$(grep -cx "$1" "$2/attempts")
echo "out $1 $n"
echo "err $1 $n" >&2
[ $n -ge $3 ] || exit 7'

tried_again_until_it_succeeds()
{
    map -k --log "$dir/log" --retry 5 --retry-delay 0.01 sh -c "$fails_at_first" sh {} "$dir" 3 ::: a b
    is "$status" 0
    # What the attempts that failed wrote is not passed on.
    is "$(cat "$out")" "out a 3
out b 3"
    is "$(grep -v '^motet' "$err")" "err a 3
err b 3"
    is "$(grep -c 'job 1 .*: exited with status 7; the next attempt is in 0.0[12] s' "$err")" 2
    is "$(counted "$dir/attempts")" " 3 a
 3 b"
    # One line about each.
    is "$(wc -l <"$dir/log")" 2
    is "$(grep -c '"attempt":3.*"ok":true' "$dir/log")" 2
}

no_more_than_asked_for()
{
    map --retry 2 --retry-delay 0.01 sh -c "$fails_at_first" sh {} "$dir" 100 ::: a
    is "$status" 1
    is "$(cat "$out")" "out a 3"
    is "$(wc -l <"$dir/attempts")" 3
    has "$err" "exited with status 7, at attempt 3"
    rm "$dir/attempts"
    map --retry 0 sh -c "$fails_at_first" sh {} "$dir" 100 ::: a
    is "$(wc -l <"$dir/attempts")" 1
}

a_pause_that_doubles()
{
    map --retry 3 --retry-delay 0.1 sh -c 'date +%s%N >>"$1/times"; exit 1' sh ::: "$dir"
    is "$(wc -l <"$dir/times")" 4
    # (The clock of date may be corrected meanwhile, if only a little.)
    awk 'NR > 1 && ($1 - last) / 1e6 < 95 * 2 ^ (NR - 2) { print "pause", NR - 1, ($1 - last) / 1e6; exit 1 }
        { last = $1 }' "$dir/times" || complain "too short"
}

others_run_meanwhile()
{
    # One at a time: the second attempt at a comes after b.
    map -j 1 --retry 1 --retry-delay 0.3 sh -c 'echo $1 >>"$2/ran"; [ $1 = b ] || grep -q b "$2/ran"' sh {} "$dir" \
        ::: a b
    is "$status" 0
    is "$(cat "$dir/ran")" "a
b
a"
}

the_order_is_kept()
{
    map -k -j 4 --retry 1 --retry-delay 0.1 sh -c '
        echo $1
        case $1 in 1 | 5) mkdir "$2/$1" 2>/dev/null && exit 1; esac; exit 0' sh {} "$dir" ::: 1 2 3 4 5 6 7 8 9
    is "$status" 0
    is "$(cat "$out")" "$(seq 9)"
}

counted()
{
    sort "$1" 2>/dev/null | uniq -c | tr -s ' '
}

what_is_tried_again()
{
    expected=' 2 false
 2 kill -9 $$
 2 sleep 1000
 1 true'
    for seconds in $longer_times; do
        rm -f "$dir/attempts"
        map -k --timeout $seconds --retry 1 --retry-delay 0.01 sh -c 'echo $1 >>"$2/attempts"; eval "$1"' \
            sh {} "$dir" ::: 'kill -9 $$' 'sleep 1000' false true
        [ "$(counted "$dir/attempts")" = "$expected" ] && break
    done
    is "$status" 124
    is "$(counted "$dir/attempts")" "$expected"
    PATH=/usr/bin:/bin "$motet" map --retry 3 motet-no-such-command ::: a 2>"$err"
    is $? 1
    is "$(wc -l <"$err")" 1
}

tried_again_without_a_pause()
{
    # Ten attempts: with the usual pauses that would be many minutes.
    map -j 1 --retry 9 --retry-delay 0 sh -c "$fails_at_first" sh {} "$dir" 9 ::: a
    is "$status" 0
    "$motet" map --retry 1 --retry-delay -1 true ::: a 2>"$err"
    is $? 2
    is "$(grep -c "not a number of seconds" "$err")" 1
}

many_are_tried_again()
{
    seq 300 | "$motet" map -j 4 --retry 2 --retry-delay 0.001 false 2>"$err"
    is $? 1
    is "$(grep -c ', at attempt 3$' "$err")" 300
    is "$(wc -l <"$err")" 900
}

ctrl_c_while_one_waits_for_its_next_attempt()
{
    "$motet" map --log "$dir/log" --retry 3 --retry-delay 1000 sh -c 'exit 5' ::: a 2>"$err" &
    runner=$!
    strays=$runner
    wait_until grep -q 'the next attempt is in 1000 s' "$err"
    kill -INT $runner
    wait $runner
    is $? 130
    has "$err" "exited with status 5"
    is "$(grep -c '"attempt":1.*"ok":false.*"status":5' "$dir/log")" 1
}

ran()
{
    if [ -e "$dir/ran" ]; then
        sort -n "$dir/ran" | tr '\n' ' '
    fi
}

never_is_what_it_does()
{
    for option in "" "--fail never"; do
        map -j 2 $option sh -c 'exit 1' sh ::: 1 2 3 4 5
        is "$status" 1
        is "$(grep -c "exited with status 1" "$err")" 5
        is "$(wc -l <"$err")" 5
    done
}

soon()
{
    # With one at a time, not a single job is begun after the failure.
    seq 50 | "$motet" map -j 1 --fail soon sh -c 'echo $1 >>"$2/ran"; test $1 != 3' sh {} "$dir" 2>"$err"
    is $? 1
    is "$(ran)" "1 2 3 "
    has "$err" "motet map: 1 job failed: no more were begun"
}

soon_lets_those_end_that_run()
{
    map -k -j 2 --fail soon sh -c '
        echo $1 >>"$2/ran"
        [ $1 != 1 ] || until grep -q "no more\|2$" "$2/ran"; do sleep 0.05; done
        [ $1 != 1 ] || until [ -e "$2/failed" ]; do sleep 0.05; done
        [ $1 != 2 ] || { : >"$2/failed"; exit 3; }
        echo "end $1"' sh {} "$dir" ::: 1 2 3 4 5
    is "$status" 1
    is "$(head -n 1 "$out")" "end 1"
}

now()
{
    # Job 1 would stay for ever. With -k it is its turn, and that of the failure comes later.
    for order in "" -k; do
        rm -f "$dir/ran"
        map $order -j 2 --fail now sh -c '
            echo $1 >>"$2/ran"
            [ $1 = 2 ] || exec sleep 100000
            until [ "$(wc -l <"$2/ran")" = 2 ]; do sleep 0.05; done
            exit 3' sh {} "$dir" ::: 1 2 3 4
        is "$status" 1
        is "$(ran)" "1 2 "
        holds grep -q '^motet map: job 2 (.*): exited with status 3$' "$err"
        is "$(tail -n +2 "$err")" "motet map: 1 job failed: the others were ended"
    done
}

a_number()
{
    seq 50 | "$motet" map -j 1 --fail 3 sh -c 'echo $1 >>"$2/ran"; test $(($1 % 10)) != 5' sh {} "$dir" 2>"$err"
    is $? 1
    is "$(ran)" "$(seq 25 | tr '\n' ' ')"
    has "$err" "motet map: 3 jobs failed: no more were begun"
}

a_share()
{
    # Not of the first nine.
    seq 9 | "$motet" map -j 1 --fail 1% false 2>"$err"
    is $? 1
    is "$(grep -c "exited with status 1" "$err")" 9
    seq 200 | "$motet" map -j 2 --fail 50% sh -c 'test $1 -le 20' sh 2>"$err"
    is $? 1
    holds grep -q 'jobs failed: no more were begun' "$err"
    n=$(grep -c "exited with status 1" "$err")
    # 20 of 40, or 19 of 38 when one of the good ones ends late; and those that were under way then.
    holds test "$n" -ge 19
    holds test "$n" -le 30
    seq 100 | "$motet" map -j 2 --fail 30% sh -c 'test $(($1 % 4)) != 0' sh 2>"$err"
    is $? 1
    is "$(grep -c "exited with status 1" "$err")" 25
}

an_attempt_is_no_failure()
{
    map -j 1 --fail soon --retry 3 --retry-delay 0.01 sh -c "$fails_at_first" sh {} "$dir" 2 ::: a b c
    is "$status" 0
    map -j 1 --fail soon --retry 1 --retry-delay 0.01 sh -c 'exit 1' ::: a
    is "$status" 1
    has "$err" "motet map: 1 job failed: no more were begun"
}

run tried_again_until_it_succeeds
run no_more_than_asked_for
run a_pause_that_doubles
run others_run_meanwhile
run the_order_is_kept
run what_is_tried_again
run tried_again_without_a_pause
run many_are_tried_again
run ctrl_c_while_one_waits_for_its_next_attempt
run never_is_what_it_does
run soon
run soon_lets_those_end_that_run
run now
run a_number
run a_share
run an_attempt_is_no_failure
finish
