#!/bin/sh
# Many jobs: all are run, in constant memory and with few descriptors.
# modes: plain asan
. "$(dirname "$0")/map_helpers.sh"

# A job that says how much memory the runner, its parent, has needed so far, in kB.
memory_probe()
{
    cat >"$dir/probe" <<'END'
#!/bin/sh
sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$PPID/status"
END
    chmod +x "$dir/probe"
}

# within BEFORE AFTER GROWTH. (A sanitizer keeps what was freed.)
within()
{
    [ "$(($2 - $1))" -lt "$3" ] || [ "${MOTET_MODE:-plain}" = asan ] ||
        complain "memory grew from $1 kB to $2 kB"
}

# Peak memory after the 1,000th job and after the last, each a job's output.
grown_little()
{
    set -- $(cat "$out")
    is $# 2
    within "$1" "$2" 4096
}

ten_thousand_in_constant_memory()
{
    memory_probe
    {
        yes true | head -n 1000
        echo "$dir/probe"
        yes true | head -n 9000
        echo "$dir/probe"
    } | "$motet" map -j 2 {} >"$out" 2>"$err"
    is $? 0
    grown_little
    is "$(cat "$err")" ""
}

# Outputs of a megabyte each that wait for their turn do not fill the memory either.
held_outputs_in_constant_memory()
{
    memory_probe
    mkdir "$dir/begun"
    {
        echo "exec $dir/probe"
        # It holds back those after it, until at least 50 of them have ended.
        echo "until [ \$(ls $dir/begun | wc -l) -ge 60 ]; do sleep 0.05; done"
        yes "mktemp $dir/begun/XXXXXX >/dev/null; head -c 1000000 /dev/zero | tr '\0' '\n'" |
            head -n 100
        echo "exec $dir/probe"
    } >"$dir/list"
    "$motet" map -k -j 8 -a "$dir/list" sh -c >"$dir/all" 2>"$err"
    is $? 0
    grep -v '^$' "$dir/all" >"$out"
    set -- $(cat "$out")
    is $# 2
    within "$1" "$2" 32768
    is "$(wc -c <"$dir/all")" $((100000000 + $(wc -c <"$out")))
}

a_thousand_items_fifty_at_a_time()
{
    seq 1000 | "$motet" map -k -j 50 echo >"$out" 2>"$err"
    is $? 0
    is "$(cat "$out")" "$(seq 1000)"
    is "$(cat "$err")" ""
}

as_many_at_a_time_as_asked_for()
{
    # Each of the 40 waits until all have begun: fewer at a time would never end.
    mkdir "$dir/begun"
    seq 40 | "$motet" map -j 40 sh -c '
        : >"$2/$1"; until [ "$(ls "$2" | wc -l)" = 40 ]; do sleep 0.1; done' sh {} "$dir/begun"
    is $? 0
}

never_more_at_a_time()
{
    seq 60 | "$motet" map -j 3 sh -c '
        mkdir "$1/1" 2>/dev/null && d=1 || { mkdir "$1/2" 2>/dev/null && d=2; } ||
            { mkdir "$1/3" 2>/dev/null && d=3; } || exit 1
        rmdir "$1/$d"' sh "$dir" {} 2>"$err"
    is $? 0
}

few_descriptors()
{
    # Room for one job or two at a time, and fifty wanted: they wait for each other.
    seq 200 | (
        ulimit -n 30
        exec "$motet" map -k -j 50 echo
    ) >"$out" 2>"$err"
    is $? 0
    is "$(cat "$out")" "$(seq 200)"
    is "$(cat "$err")" ""
    # The limit that we found is what the jobs find, though more was needed and could be had.
    (
        ulimit -S -n 100
        exec "$motet" map -j 60 sh -c 'ulimit -n' sh ::: $(seq 60)
    ) >"$out" 2>"$err"
    is $? 0
    is "$(sort -u "$out")" 100
}

no_descriptors_at_all()
{
    (
        ulimit -n 12
        exec "$motet" map -j 2 echo ::: 1 2 3
    ) >"$out" 2>"$err"
    is $? 2
    is "$(cat "$out")" ""
    is "$(wc -l <"$err")" 1
    more=$(sed -n 's/^motet map: cannot run even one job: too few .*, ulimit -n must be higher by //p' "$err")
    (
        ulimit -n $((12 + more))
        exec "$motet" map -j 2 echo ::: 1 2 3
    ) >"$out" 2>"$err"
    is "$? $(sort "$out" | tr '\n' ' ')$(cat "$err")" "0 1 2 3 "
    # From there to plenty all jobs run, however many are wanted, or none.
    for mode in "" --line --raw; do
        for n in $(seq 12 40); do # (a sanitizer needs some too)
            (
                ulimit -n "$n"
                exec "$motet" map $mode -j 20 echo ::: 1 2 3 4 5 6 7 8
            ) >"$out" 2>"$err"
            case $? in
            0) is "$n $(sort "$out" | tr '\n' ' ')$(cat "$err")" "$n 1 2 3 4 5 6 7 8 " ;;
            2) is "$n $(cat "$out")$(wc -l <"$err")" "$n 1" ;;
            *) is "$n $mode: $(cat "$out" "$err")" "an end" ;;
            esac
        done
    done
}

run ten_thousand_in_constant_memory
run held_outputs_in_constant_memory
run a_thousand_items_fifty_at_a_time
run as_many_at_a_time_as_asked_for
run never_more_at_a_time
run few_descriptors
run no_descriptors_at_all
finish
