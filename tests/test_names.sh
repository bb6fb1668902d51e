#!/bin/sh
# Every public function has its place in a man page and in a test. One case a function and place.
cd "$(dirname "$0")/.." || exit 1
passed=0 failed=0

names=$(gcc -E -P -Iinclude include/motet.h | tr '\n' ' ' |
    grep -oE 'visibility\("default"\)\)\)[^;{(]*[( ]' | grep -oE 'motet_[a-z0-9_]+[( ]$' |
    tr -d '( ' | grep -v '^motet__' | sort -u)
[ -n "$names" ] || exit 1

# What a function with a macro in front of it is called by users.
for name in $names; do
    short=${name%_with}
    if grep -qwsE "$name|$short" docs/man/*.[137]; then
        passed=$((passed + 1))
    else
        echo "FAIL $name: in no man page"
        failed=$((failed + 1))
    fi
    if grep -qwsE "$name|$short" tests/*.c; then
        passed=$((passed + 1))
    else
        echo "FAIL $name: in no test"
        failed=$((failed + 1))
    fi
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
