#!/bin/sh
# Runs all examples, with short times, and checks what they print. Whatever varies is taken out first:
# times, numbers of processes and threads, the order of those that run side by side.
# modes: plain asan tsan
cd "$(dirname "$0")/.." || exit 1
passed=0 failed=0
bin=${MOTET_EXAMPLES:-}
if [ ! -x "$bin/square" ]; then
    echo "no examples in MOTET_EXAMPLES ($bin)"
    exit 77
fi
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
export LC_ALL=C

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

# run NAME [ARGUMENT...]: what it prints, and how it ended if not well.
run()
{
    name=$1
    shift
    timeout 120 "$bin/$name" "$@" 2>&1 || echo "$name ended with $?"
}

# An example that nobody tests is an example that fails.
untested=
for source in examples/*.c; do
    name=$(basename "$source" .c)
    grep -qE "(run|bin/) ?\"?$name" "$0" tests/test_wordcount.sh || untested="$untested $name"
done
is "all examples are tested" "" "$untested"

# ---- first steps

is square "the sum of the squares below 1000 is 332833500
the square of 7 is 49" "$(run square)"

is account "4000 payments, balance 40000
a payer ended with -9
it died holding the lock: 4001 payments, balance 40000
repaired: 4001 payments, balance 40010" "$(run account)"

for kind in threads processes; do
    is "producer_consumer $kind" "1000 items, sum 500500" "$(run producer_consumer $kind)"
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
