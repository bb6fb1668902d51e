# Sourced by tests/test_map_*.sh, which test the command `motet map`.
#
#     . "$(dirname "$0")/map_helpers.sh"
#     items_from_the_command_line()          # a case is a function; $dir is a folder of its own
#     {
#         map echo ::: a b                   # runs it: $status, "$out" and "$err" (files)
#         is "$status" 0
#         is "$(sort "$out")" "a
#     b"
#     }
#     run items_from_the_command_line
#     finish
#
# MOTET_BIN is the command. Nothing here depends on how fast the machine is: wait_until polls for a
# state, with a limit that only a hang reaches. How far a job comes before its --timeout is the machine's
# business; where that counts, the case is tried with $longer_times until the job has come there.
motet=${MOTET_BIN:?the path of the motet command}
root=$(mktemp -d "${TMPDIR:-/tmp}/map.XXXXXX") || exit 1
passed=0
failed=0
strays=
longer_times="0.3 2 10 50"
trap 'end_strays; rm -rf "$root"' EXIT
trap 'exit 1' INT TERM HUP

# What a failed case may have left running, by the pids that it noted.
end_strays()
{
    for pid in $strays; do
        kill -KILL "$pid" 2>/dev/null
    done
    strays=
}

map()
{
    "$motet" map "$@" >"$out" 2>"$err"
    status=$?
}

complain()
{
    ok=no
    printf '%s\n' "$@"
}

is()
{
    [ "$1" = "$2" ] || complain "got:" "$1" "expected:" "$2"
}

# has FILE TEXT: a line of the file contains the text.
has()
{
    grep -qF -- "$2" "$1" || complain "not in $1: $2" "but:" "$(head -c 2000 "$1")"
}

# A command that succeeds.
holds()
{
    "$@" || complain "does not hold: $*"
}

# wait_until COMMAND ...: until it succeeds, a minute at most.
wait_until()
{
    tries=0
    until "$@" 2>/dev/null; do
        tries=$((tries + 1))
        if [ $tries -gt 1200 ]; then
            complain "waited in vain for: $*"
            return 1
        fi
        sleep 0.05
    done
}

# The process has ended, whether or not its parent has looked.
gone()
{
    [ ! -e "/proc/$1" ] || grep -q '^State:[[:space:]]*Z' "/proc/$1/status"
}

# The file has so many lines.
lines()
{
    [ -f "$1" ] && [ "$(wc -l <"$1")" -eq "$2" ]
}

run()
{
    if [ -n "$only" ] && [ "$only" != "$1" ]; then
        return
    fi
    ok=yes
    dir=$root/$1
    out=$dir/out
    err=$dir/err
    mkdir "$dir"
    "$1"
    end_strays
    if [ $ok = yes ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $1"
    fi
}
only=$1

finish()
{
    echo "$passed passed, $failed failed"
    [ $failed -eq 0 ]
    exit
}
