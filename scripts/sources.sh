#!/bin/sh
# Prints the files that a part of the tree is built from, one a line, sorted: meson.build asks for
# them, so that a new file is registered nowhere. `all` is what build.sh compares to see whether the
# set has changed and meson must look again.
cd "$(dirname "$0")/.." || exit 1
export LC_ALL=C

list()
{
    for file in "$@"; do
        [ -f "$file" ] && echo "$file"
    done
}

case $1 in
lib)
    for file in src/*/*.c; do
        case $file in src/check/*) ;; *) list "$file" ;; esac
    done
    ;;
# The library that runs under the scheduler: src/check/base_NAME.c stands for src/base/NAME.c.
check)
    for file in src/*/*.c; do
        [ -f "$(echo "$file" | sed 's,^src/base/,src/check/base_,;t;s,.*,,')" ] || list "$file"
    done
    ;;
models) list tests/models/*.c ;;
tool) list tools/motet/*.c ;;
tests) list tests/test_*.c ;;
examples) list examples/*.c ;;
bench) list bench/*.c ;;
headers) list include/motet/*.h ;;
man) list docs/man/*.[137] ;;
all)
    list src/*/*.c tools/motet/*.c tests/test_*.c tests/models/*.c examples/*.c bench/*.c include/motet/*.h \
        docs/man/*.[137] bench/meson.build
    ;;
*)
    echo "usage: $0 lib|check|tool|tests|models|examples|bench|headers|man|all" >&2
    exit 2
    ;;
esac
exit 0
