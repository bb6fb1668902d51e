# Sourced by tests in sh, in the root of the tree: counts what passed and failed. $scratch is a folder of
# the test's own. It ends with `tally`.
#
#     . tests/verdict.sh
#     is "two and two" 4 "$((2 + 2))"
#     grep -n forbidden src/*.c >"$scratch/found"
#     verdict "nothing is forbidden"
#     tally
passed=0 failed=0
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT

# verdict LABEL: passed if nothing is in $scratch/found.
verdict()
{
    if [ -s "$scratch/found" ]; then
        echo "FAIL $1:"
        sed 's/^/    /' "$scratch/found"
        failed=$((failed + 1))
    else
        passed=$((passed + 1))
    fi
    : >"$scratch/found"
}

# is LABEL EXPECTED ACTUAL
is()
{
    if [ "$2" = "$3" ]; then
        passed=$((passed + 1))
    else
        printf 'FAIL %s\n--- expected:\n%s\n--- but it is:\n%s\n' "$1" "$2" "$3"
        failed=$((failed + 1))
    fi
}

# has LABEL PART TEXT
has()
{
    case $3 in
    *"$2"*) passed=$((passed + 1)) ;;
    *) is "$1" "...$2..." "$3" ;;
    esac
}

# try LABEL COMMAND...: passed if it succeeds.
try()
{
    label=$1
    shift
    if output=$("$@" 2>&1); then
        passed=$((passed + 1))
    else
        echo "FAIL $label: $*"
        echo "$output"
        failed=$((failed + 1))
    fi
}

tally()
{
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
}
