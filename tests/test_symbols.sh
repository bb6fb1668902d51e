#!/bin/sh
# The library shows names that begin with motet_ and no others, and all that its headers declare.
cd "$(dirname "$0")/.." || exit 1
shared=$MOTET_BUILD/libmotet.so
static=$MOTET_BUILD/libmotet.a
passed=0 failed=0

verdict()
{
    if [ -n "$2" ]; then
        echo "FAIL $1:"
        echo "$2" | sed 's/^/    /'
        failed=$((failed + 1))
    else
        passed=$((passed + 1))
    fi
}

exported=$(nm -D --defined-only "$shared" | awk '{ print $3 }' | sort -u)
[ -n "$exported" ] || exit 1
verdict "libmotet.so exports other names" "$(echo "$exported" | grep -vE '^motet_')"

defined=$(nm -g --defined-only "$static" | awk 'NF == 3 { print $3 }' | sort -u)
verdict "libmotet.a defines other names" "$(echo "$defined" | grep -vE '^motet_')"

# All declarations that carry MOTET_API, after the preprocessor.
declared=$(gcc -E -P -Iinclude include/motet.h | tr '\n' ' ' |
    grep -oE 'visibility\("default"\)\)\)[^;{(]*[( ]' | grep -oE 'motet_[a-z0-9_]+[( ]$' |
    tr -d '( ' | sort -u)
verdict "no declaration was found" "$([ -n "$declared" ] || echo none)"
verdict "declared, but not in libmotet.so" "$(echo "$declared" | grep -vxF "$exported")"
verdict "in libmotet.so, but not declared" "$(echo "$exported" | grep -vxF "$declared")"

# Only the C library: what a program must have beside it.
verdict "libmotet.so needs more than the C library" \
    "$(readelf -d "$shared" | grep NEEDED | grep -vE '\[(libc\.so|ld-linux)[^]]*\]')"

# Text relocations and executable stacks keep a library out of hardened systems.
verdict "libmotet.so has text relocations" "$(readelf -d "$shared" | grep TEXTREL)"
verdict "libmotet.so wants an executable stack" \
    "$(readelf -lW "$shared" | grep GNU_STACK | grep E)"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
